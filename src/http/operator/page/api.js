// Asking the facilitator. Every failure becomes an error with a sentence in it.

let known = { assets: [], networks: [], receipts: false, version: "" };

/** What is configured; read once when the page begins. */
export const about = () => known;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answered(response) {
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  const said = body?.error?.message ?? body?.reason ?? `The facilitator answered ${response.status}.`;
  throw new Refused(response.status, said);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The facilitator cannot be reached.");
  }
  return answered(response);
}

export const read = (path, signal) => ask(path, { signal, headers: { accept: "application/json" } });

export const act = (path, body) => ask(path, {
  method: "POST", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(body),
});

export const query = (pairs) => {
  const given = Object.entries(pairs).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

export async function begin() {
  known = await read("/v1/operator/about");
}
