// What happens, as it happens: the event stream, which resumes where it broke off; and while there is none, asking again and
// again, ever more seldom.

import { query, read } from "./api.js";

const LEAST = 2000;
const MOST = 30000;

export class Live {
  constructor(told, changed) {
    this.told = told;
    this.changed = changed;
    this.place = null;
    this.pause = LEAST;
    this.isPaused = false;
  }

  start() {
    this.open();
    // A page that comes back into sight shows what is, at once.
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.timer) this.poll(); });
  }

  open() {
    this.close();
    const source = this.source = new EventSource(`/v1/events${query({ after: this.place ?? "now" })}`);
    source.onopen = () => { this.pause = LEAST; this.changed("live", "Live"); this.told(null); };
    source.onmessage = (message) => { this.place = message.lastEventId; this.told(JSON.parse(message.data)); };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.wait();
      else this.changed("wait", "Reconnecting");
    };
  }

  close() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    this.timer = null;
  }

  /** The stream is refused: looks by itself, and tries the stream again once it is answered. */
  wait() {
    this.close();
    this.changed("wait", `Again in ${Math.round(this.pause / 1000)} s`);
    this.timer = setTimeout(() => this.poll(), this.pause);
    this.pause = Math.min(this.pause * 2, MOST);
  }

  async poll() {
    clearTimeout(this.timer);
    this.timer = null;
    try {
      const page = await read(`/v1/events${query({ after: this.place ?? "now", limit: 100 })}`);
      if (this.isPaused) return;
      this.place = page.nextCursor;
      page.events.forEach((event) => this.told(event));
      this.open();
    } catch (error) {
      if (this.isPaused) return;
      // A place of another database is worth nothing any more.
      if (error.status === 400) this.place = null;
      this.wait();
    }
  }

  toggle() {
    this.isPaused = !this.isPaused;
    if (this.isPaused) {
      this.close();
      this.changed("off", "Paused");
    } else {
      this.changed("wait", "Connecting");
      this.open();
    }
    return this.isPaused;
  }
}
