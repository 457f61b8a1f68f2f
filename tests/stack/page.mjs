// Walks the operator's page as a person would, in a real browser, and reports whatever is wrong with it.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { OPERATOR_URL, CHROMIUM, HOSTILE, FACILITATOR_URL, NEXT_BODY, PAGE_PICTURES, PAGE_FILES } = process.env;
const wanted = JSON.parse(process.env.WANTED);
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const faults = [];
const fault = (text) => faults.push(text);
const must = (is, text) => { if (!is) fault(text); };

const profile = await mkdtemp(join(tmpdir(), "facilitator-page-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: CHROMIUM,
  headless: true,
  colorScheme: "light",
  viewport: { width: 1280, height: 860 },
  timezoneId: "America/New_York",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const page = context.pages()[0] ?? await context.newPage();
page.setDefaultTimeout(20000);
// What is being worked on, in the place of what is built in.
if (PAGE_FILES) await page.route("**/assets/*", (route) => route.fulfill({ path: join(PAGE_FILES, new URL(route.request().url()).pathname.split("/").pop()) }));
let isDown = false;
page.on("console", (message) => { if (["error", "warning"].includes(message.type()) && !isDown) fault(`console: ${message.text()} ${message.location().url}`); });
page.on("pageerror", (error) => fault(`page: ${error.message}`));
page.on("request", (request) => { if (!request.url().startsWith(OPERATOR_URL)) fault(`asked elsewhere: ${request.url()}`); });
await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));

let pictures = 0;
const picture = async (name) => { if (PAGE_PICTURES) await page.screenshot({ path: join(PAGE_PICTURES, `${String(pictures++).padStart(2, "0")}-${name}.png`), fullPage: true }); };
const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
const heading = (text) => page.locator("main h1", { hasText: text }).waitFor();
const settled = () => page.locator("main [aria-busy]").waitFor({ state: "detached" });

/** Nothing wider than the window, nothing that assistive technology stumbles over, nothing that was said as text and ran. */
async function sound(where) {
  const { wide, ran } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth - innerWidth, ran: globalThis.hit ?? 0 }));
  must(wide <= 0, `${where}: ${wide} px wider than the window`);
  must(!ran, `${where}: what a merchant wrote was run`);
  must(await page.locator("main img, main script, main b, main i, main iframe").count() === 0, `${where}: text became markup`);
  // Through the inspector, which the page's policy does not bind.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  for (const it of violations) fault(`${where}: ${it.id}: ${it.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any.map((any) => any.message).join("; ").slice(0, 200)}`).join(" | ")}`);
}

const VIEWS = [["p", "Payments"], ["e", "Exceptions"], ["s", "Signers"], ["n", "Networks"], ["v", "Volume"], ["w", "Webhooks"]];

async function everywhere(width, name) {
  await page.setViewportSize({ width, height: width < 500 ? 780 : 860 });
  for (const [key, title] of VIEWS) {
    await press("g", key);
    await heading(title);
    await settled();
    await sound(`${title} ${name}`);
    await picture(`${title.toLowerCase()}-${name}`);
  }
  await press("g", "v");
  await heading("Volume");
  await settled();
  const tenants = await page.locator("section", { has: page.getByRole("heading", { name: "By tenant" }) }).innerText();
  for (const name of ["sole", "<b>Acme</b>"]) must(tenants.includes(name), `the tenant ${name} is not shown: ${tenants}`);
  await page.goto(`${OPERATOR_URL}/#/payments/${wanted.id}`);
  await page.locator(".line li").first().waitFor();
  await sound(`story ${name}`);
  await picture(`story-${name}`);
}

/** Between a phone and a screen nothing is cut off either. */
async function fits() {
  for (const width of [1000, 800, 600]) {
    await page.setViewportSize({ width, height: 800 });
    for (const [key, title] of VIEWS) {
      await press("g", key);
      await heading(title);
      await settled();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      must(wide <= 0, `${title} is ${wide} px wider than a window of ${width} px`);
    }
  }
}

async function pays() {
  await page.goto(OPERATOR_URL);
  await heading("Payments");
  await page.locator("tbody tr").first().waitFor();
  const before = await page.locator("tbody tr").count();
  must(before === 7, `${before} payments are listed, not 7`);
  must(await page.locator("tbody .state.withdrawn").count() === 1, "the withdrawn payment is not shown as such");
  must(await page.locator("tbody .amount", { hasText: "0.01 USDC" }).count() === 7, "the amounts are not 0.01 USDC");
  must((await page.locator("tbody").innerText()).includes(HOSTILE), "the merchant's words are not shown as they are");
  must(await page.locator(`a.out[href^="https://sepolia.basescan.org/tx/0x"]`).count() > 0, "there is no link to the explorer");
  must(/in New York|GMT|EST|EDT|UTC/.test(await page.locator("tbody time").first().getAttribute("title")), "there is no local time on hover");
  await page.locator("#live[data-state=live]").waitFor();
  const answer = await fetch(`${FACILITATOR_URL}/settle`, { method: "POST", headers: { "content-type": "application/json" }, body: NEXT_BODY });
  must((await answer.json()).success, "the payment meanwhile did not settle");
  await page.locator("tbody tr:nth-child(8)").waitFor();
  await press("j", "j", "k", "j");
  const focused = await page.evaluate(() => document.activeElement.closest("tr")?.rowIndex);
  must(focused === 2, `j, j, k, j lead to row ${focused}`);
  await press("Enter");
  await page.locator(".line li").first().waitFor();
  await press("u");
  await heading("Payments");
  await page.goto(`${OPERATOR_URL}/#/payments?state=withdrawn`);
  await page.locator("tbody tr").first().waitFor();
  must(await page.locator("tbody tr").count() === 1, "the filter by state does not filter");
}

async function finds() {
  for (const [kind, name] of Object.entries(wanted.names)) {
    await press("/");
    await page.keyboard.type("x");
    await page.locator("#q").fill(name);
    await press("Enter");
    await page.waitForURL(`${OPERATOR_URL}/#/payments/${wanted.id}`).catch(() => fault(`not found by its ${kind}: ${page.url()}`));
    await press("g", "n");
    await heading("Networks");
  }
  await press("/");
  await page.locator("#q").fill("nobody's <i>name</i>");
  await press("Enter");
  await page.locator(".empty").waitFor();
  await sound("search without a result");
  await picture("search-nothing");
  await press("/");
  await page.locator("#q").fill("");
  await press("Escape", "g", "p");
  await heading("Payments");
}

async function tells() {
  await page.goto(`${OPERATOR_URL}/#/payments/${wanted.id}`);
  await page.locator(".line li").first().waitFor();
  const text = await page.locator("main").innerText();
  for (const part of ["Verified and reserved", "Signed and sent", "Confirmed", "Final", "order-7", HOSTILE, "<b>cart</b>", "<i>c7</i>", "landed", "facilitator:gas", "us", "posted", "1 of 1", "<b>goods</b> came back", "awaiting", "0.0025 USDC"]) {
    must(text.includes(part), `the story does not say ${part}`);
  }
  await page.getByRole("button", { name: "Show the signed receipt" }).press("Enter");
  await page.locator("pre.receipt").waitFor();
}

async function resolves() {
  await press("g", "e");
  await heading("Exceptions");
  await page.locator("tbody tr").first().waitFor();
  must((await page.locator("tbody").innerText()).includes("unknown on chain"), "the exception is not shown");
  must(await page.locator("nav .number:visible").innerText() === "1", "no number is beside the exceptions");
  await press("j", "r");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.type("a top-up <b>of ours</b>");
  await press("Tab");
  await page.keyboard.type("ada");
  await sound("the dialog");
  await picture("resolve");
  await press("Enter");
  await page.locator("dialog").waitFor({ state: "detached" });
  await page.locator(".empty", { hasText: "Nothing disagrees" }).waitFor();
  await page.goto(`${OPERATOR_URL}/#/exceptions?handled=resolve`);
  await page.locator("tbody .badge", { hasText: "resolved" }).waitFor();
}

async function helps() {
  await press("?");
  await page.locator("dialog.help[open]").waitFor();
  await sound("the shortcuts");
  await picture("help");
  await press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
}

/** Everything that can be reached is reached by Tab, and is seen to be. */
async function tabs() {
  await press("g", "p");
  await heading("Payments");
  await page.locator("tbody tr").first().waitFor();
  await page.evaluate(() => document.querySelector(".skip").focus());
  const reached = new Set();
  for (let step = 0; step < 24; step += 1) {
    await press("Tab");
    const at = await page.evaluate(() => {
      const node = document.activeElement;
      const style = getComputedStyle(node);
      return { name: node.id || node.textContent.trim().slice(0, 20) || node.getAttribute("aria-label"), isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, isBody: node === document.body };
    });
    if (at.isBody) break;
    reached.add(at.name);
    must(at.isSeen, `focus is not seen at ${at.name}`);
  }
  for (const name of ["q", "live", "theme", "help", "Volume"]) must(reached.has(name), `Tab does not reach ${name}`);
}

/** Numbers of any length are written digit by digit. */
async function writes() {
  const written = await page.evaluate(async () => {
    const { coins } = await import("/assets/format.js");
    return [["0", 6], ["1", 6], ["10000", 6], ["1234567890", 6], ["340282366920938463463374607431768211455", 18], ["7", 0], ["-1500000", 6]].map(([units, places]) => coins(units, places));
  });
  const right = ["0.00", "0.000001", "0.01", "1,234.56789", "340,282,366,920,938,463,463.374607431768211455", "7", "-1.50"];
  must(JSON.stringify(written) === JSON.stringify(right), `amounts: ${written}`);
}

async function breaks() {
  isDown = true;
  await page.goto(`${OPERATOR_URL}/#/signers`);
  await heading("Signers");
  await page.route("**/v1/**", (route) => route.abort());
  await page.goto(`${OPERATOR_URL}/#/networks`);
  await page.locator(".trouble:not([hidden])", { hasText: "cannot be reached" }).waitFor();
  await picture("unreachable");
  await page.unroute("**/v1/**");
  await page.locator(".trouble button").press("Enter");
  await page.locator(".card").first().waitFor();
  isDown = false;
}

async function walk() {
  await pays();
  await finds();
  await tells();
  await helps();
  await tabs();
  await writes();
  await everywhere(1280, "light");
  await fits();
  await page.setViewportSize({ width: 1280, height: 860 });
  await resolves();
  await press("g", "p");
  await heading("Payments");
  await press("t");
  must(await page.evaluate(() => document.documentElement.dataset.theme) === "dark", "t does not make it dark");
  await page.reload();
  must(await page.evaluate(() => document.documentElement.dataset.theme) === "dark", "dark is forgotten");
  await heading("Payments");
  await everywhere(1280, "dark");
  await everywhere(360, "phone-dark");
  await press("t");
  await everywhere(360, "phone");
  await breaks();
}

try {
  await walk();
} catch (error) {
  fault(`${error.stack}\nat ${page.url()}\n${(await page.locator("main").innerText().catch(() => "")).slice(0, 1500)}`);
  await picture("broken").catch(() => {});
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
}
console.log(JSON.stringify({ protocol: "page", faults }));
