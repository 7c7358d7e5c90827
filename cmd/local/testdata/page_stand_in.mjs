// A page for the module to run in, as far as it looks at one: an address, a history, a
// sessionStorage, a clock on which waiting takes no time, and functions that answer what
// they are told to.

import assert from 'node:assert/strict';

let evaluations = 0;

export class Page {
  requests = []; // {url, method, headers, body, credentials, signal}
  waits = []; // seconds
  timers = new Set(); // those still to go off
  left = []; // {how, url}: where the module sent the browser
  answers = []; // a Response, an Error, or a function of the request

  constructor(address = 'https://app.example/', stored = new Map()) {
    this.stored = stored;
    this.url = new URL(address);
    this.#define('location', this.#location());
    this.#define('history', {
      state: 'of the app',
      replaceState: (state, title, url) => {
        assert.equal(state, 'of the app');
        this.url = new URL(url, this.url);
      },
    });
    this.#define('sessionStorage', {
      getItem: (key) => stored.get(key) ?? null,
      setItem: (key, value) => stored.set(key, String(value)),
      removeItem: (key) => stored.delete(key),
    });
    this.#define('fetch', (url, init) => this.#fetch(url, init));
    this.#define('setTimeout', (done, milliseconds) => {
      const timer = { done };
      this.waits.push(milliseconds / 1000);
      this.timers.add(timer);
      if (!this.timeStandsStill) setImmediate(() => this.timers.delete(timer) && done());
      return timer;
    });
    this.#define('clearTimeout', (timer) => this.timers.delete(timer));
  }

  /** Evaluates the module anew, as loading a page does. */
  load() {
    return import(`../page/gmailgrant.js?${++evaluations}`);
  }

  async grant(options) {
    const { GmailGrant } = await this.load();
    return new GmailGrant({ baseUrl: 'https://functions.example', way: 'handoff', ...options });
  }

  /** The next page of this tab: what is stored stays. */
  goTo(address) {
    return new Page(address, this.stored);
  }

  /** Has somebody signed in by the hand-off. */
  async signedIn(options) {
    const page = await this.returnedFrom(await this.grant(options));
    page.answers.push(json(account));
    return page;
  }

  /** Comes back from the sign-in that connect() begins, with a code. */
  async returnedFrom(grant, query = { code: 'a code' }) {
    await grant.connect();
    return this.goTo(this.address('/', { state: this.departure().get('state'), ...query }));
  }

  address(path, query) {
    return `${this.url.origin}${path}?${new URLSearchParams(query)}`;
  }

  /** The query with which the module last left. */
  departure() {
    return new URL(this.left.at(-1).url).searchParams;
  }

  #define(name, value) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }

  #location() {
    const page = this;
    const leave = (how) => (url) => { page.left.push({ how, url: String(url) }); };
    return {
      assign: leave('assign'),
      replace: leave('replace'),
      get href() { return page.url.href; },
      get origin() { return page.url.origin; },
      get pathname() { return page.url.pathname; },
      get search() { return page.url.search; },
      get hash() { return page.url.hash; },
    };
  }

  async #fetch(url, init) {
    const request = { method: 'GET', ...init, url: new URL(url) };
    this.requests.push(request);
    init.signal?.throwIfAborted();
    const answer = this.answers.shift();
    if (!answer) throw new Error(`nobody answers ${url}`);
    const given = typeof answer === 'function' ? await answer(request) : answer;
    if (given instanceof Error) throw given;
    return given;
  }
}

export const account = {
  session: 'a session',
  token_type: 'Bearer',
  expires_in: 3600,
  user: { sub: '1234', email: 'ada@example.com' },
  scopes: ['openid'],
  missing_scopes: [],
};

export function json(value, status = 200, headers = {}) {
  return new Response(value === null ? null : JSON.stringify(value), { status, headers });
}

export function problem(reason, status, more = {}, headers = {}) {
  return json({ title: reason, detail: `About ${reason}.`, status, reason, ...more }, status, headers);
}

/** A stream of chunks: strings, bytes, or the Error with which it breaks off. */
export function stream(...chunks) {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift();
      if (chunk === undefined) controller.close();
      else if (chunk instanceof Error) controller.error(chunk);
      else controller.enqueue(typeof chunk === 'string' ? encoder.encode(chunk) : chunk);
    },
  });
  return new Response(body, { headers: { 'Content-Type': 'application/x-ndjson' } });
}

const lines = (values) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const messages = (ids) => [...ids].map((id) => ({ id, threadId: id }));

/** A list of messages, each of whose IDs is a letter, with its last line. */
export const list = (ids, end = {}) => stream(lines([...messages(ids), end]));

/** One that breaks off in the middle of a line. */
export const cutList = (ids) => stream(`${lines(messages(ids))}{"id":"unfin`, new TypeError('network error'));
