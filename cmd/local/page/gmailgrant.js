/**
 * gmailgrant in the browser: connects a Gmail account, lists its messages, never holds a
 * token of Google. One file without dependencies, to be imported or copied.
 *
 * On a page that imports it, `state` with `code` or `error` in the address is the answer
 * of a sign-in: it leaves the address at once, before another script can read it. Bearer
 * sessions are kept in sessionStorage, where they live as long as the tab.
 *
 * @typedef {object} Options
 * @property {string} baseUrl BASE_URL of the deployment
 * @property {'cookie' | 'handoff'} [way] `cookie` (default) on the site of the functions,
 *   `handoff` on any other
 * @property {string} [returnTo] where a sign-in ends; default the page it began on or, for
 *   `handoff`, which needs an entry of RETURN_URLS, origin + "/"
 * @property {boolean} [renew] whether a call whose Bearer session has ended leaves the page
 *   for a new one, which asks the user nothing, and comes back (default). Like a reload it
 *   loses what is in memory: save that on `pagehide`. Otherwise the call fails
 *
 * @typedef {object} Departure
 * @property {string} [prompt] `consent`, `select_account`, or both
 * @property {string} [loginHint] e-mail address or user ID
 * @property {any} [place] comes back in `returned`: JSON
 * @property {string} [authorizationUrl] of an error
 *
 * @typedef {object} Return from a sign-in
 * @property {boolean} mine false: not begun in this tab, and therefore dropped
 * @property {any} [place] as given to connect()
 * @property {string[]} missingScopes not granted
 * @property {GmailGrantError} [error] why it failed
 *
 * @typedef {object} Progress
 * @property {number} received messages so far
 * @property {string} [pageToken] where the answer under way began; at the end: what follows
 * @property {number} [resultSizeEstimate]
 * @property {{reason: string, seconds: number}} [pause] before the list goes on
 *
 * @typedef {{user: {sub: string, email?: string, name?: string, picture?: string},
 *   scopes: string[], missing_scopes: string[], expires_in: number}} Account
 * @typedef {{id: string, threadId: string, [member: string]: any}} Message as Gmail has it
 * @typedef {Record<string, any>} Members
 */

const ndjson = 'application/x-ndjson';
const parameters = ['code', 'state', 'error', 'missing_scopes'];

/** Seconds to wait, doubled with each answer in vain. @type {Members} */
const pauses = { deadline: 0, response_size: 0, rate_limited: 1, upstream_unavailable: 1, network: 1 };

/** The answer of a sign-in, for the GmailGrant that is made first. */
let answer = globalThis.history ? takeAnswer() : null; // no history: not in a page

function takeAnswer() {
  const url = new URL(location.href);
  const [code, state, error, missing] = parameters.map((name) => url.searchParams.get(name));
  const key = `gmailgrant.state ${state}`;
  const begun = load(key);
  if (!begun && !(state && (code || error))) return null;
  sessionStorage.removeItem(key);
  for (const name of parameters) url.searchParams.delete(name);
  history.replaceState(history.state, '', url);
  return { begun, code, error, missingScopes: missing?.split(' ') ?? [] };
}

/** @param {string} key */
function load(key) {
  return JSON.parse(sessionStorage.getItem(key) ?? 'null');
}

/** @param {string} key @param {any} value */
function save(key, value) {
  sessionStorage.setItem(key, JSON.stringify(value));
}

/** Sets parameters, leaves out empty ones. @param {string} address @param {Members} query */
function withQuery(address, query) {
  const url = new URL(address, location.href);
  for (const [name, value] of Object.entries(query)) {
    if (value) url.searchParams.delete(name);
    for (const one of [value || []].flat()) url.searchParams.append(name, one);
  }
  return url.href;
}

/** Of RFC 7636, section 4.2. @param {string} verifier */
async function challengeOf(verifier) {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  const base64 = btoa(String.fromCharCode(...new Uint8Array(hash)));
  return base64.replaceAll('+', '-').replaceAll('/', '_').replace('=', '');
}

/** @param {number} seconds @param {AbortSignal} [signal] */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    setTimeout(resolve, seconds * 1000);
    signal?.addEventListener('abort', () => reject(signal.reason));
  });
}

/** The JSON of a good answer, or its stream of lines. @param {string} url @param {RequestInit} init */
async function send(url, init) {
  /** @type {Members} */
  let problem = { reason: 'network', detail: 'The functions gave no answer, or none to this page.' };
  try {
    const response = await fetch(url, init);
    const { headers, ok, status } = response;
    if (ok && headers.get('Content-Type') === ndjson) return response.body;
    const body = status === 204 ? null : await response.json();
    if (ok) return body;
    problem = { ...problem, status, retry_after: headers.get('Retry-After'), ...body };
  } catch (error) {
    if (init.signal?.aborted) throw error;
  }
  throw new GmailGrantError(problem);
}

/** Parsed lines; a stream that is cut just ends. @param {ReadableStream} stream @param {AbortSignal} [signal] */
async function* linesOf(stream, signal) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = value.split('\n');
      lines[0] = rest + lines[0];
      rest = lines.pop();
      for (const line of lines) yield JSON.parse(line);
    }
  } catch (error) {
    if (signal?.aborted) throw error;
  } finally {
    reader.cancel().catch(() => {});
  }
}

export class GmailGrantError extends Error {
  /** @param {Members} problem as the functions answer it */
  constructor(problem) {
    super(problem.detail ?? problem.reason);
    /** @type {string} what to branch on; `network`: the functions gave no answer */
    this.reason = problem.reason;
    /** @type {number | undefined} */
    this.status = problem.status;
    /** @type {string | undefined} there if connecting again may help: connect(error) */
    this.authorizationUrl = problem.authorization_url;
    /** @type {string[]} */
    this.missingScopes = problem.missing_scopes ?? [];
    /** @type {number | undefined} seconds */
    this.retryAfter = Number(problem.retry_after) || undefined;
    /** @type {string | undefined} */
    this.requestId = problem.request_id;
    /** @type {string | undefined} where messages() can go on */
    this.pageToken = problem.pageToken;
  }
}

export class GmailGrant {
  #options;
  #bearer;
  #key;
  /** @type {Promise<void> | undefined} */
  #renewal;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#bearer = options.way === 'handoff';
    this.#key = `gmailgrant.session ${this.#url('callback')}`; // goes to no other deployment
    /** The sign-in that led here; null: none. Never rejects; every call waits for it. */
    this.returned = this.#comeBack();
  }

  /** Leaves the page to sign in. @param {Departure} [departure] or an error */
  async connect(departure = {}) {
    location.assign(await this.#departure(departure));
  }

  /** Trades a code of Google's popup, for `handoff`. @param {string} code @returns {Promise<Account>} */
  async usePopupCode(code) {
    return this.#trade({ code, redirect_uri: 'postmessage' });
  }

  /** Who is signed in; null: nobody. @returns {Promise<Account | null>} */
  async who() {
    return this.#call('callback').catch((error) => {
      if (error.reason !== 'no_session') throw error;
      return null;
    });
  }

  /**
   * The messages that match, as they arrive. The list goes on by itself after an answer
   * that is incomplete or cut, without gap or repeat, and waits for up to a minute where
   * it is asked to. When it can't go on it throws; the error's pageToken goes on later.
   * @param {Members} [query] parameters of listmessages; maxResults may be Infinity
   * @param {{signal?: AbortSignal, onProgress?: (progress: Progress) => void}} [options]
   * @returns {AsyncGenerator<Message, void, void>}
   */
  async *messages(query = {}, { signal, onProgress } = {}) {
    const most = query.maxResults || (query.format ? 100 : Infinity);
    const seen = new Set(); // since pageToken
    /** @type {Progress} */
    const progress = { received: 0, pageToken: query.pageToken };
    for (let patience = 0; ; patience--) {
      const { received, pageToken } = progress;
      const maxResults = Math.min(most - received + seen.size, 999_999_999);
      /** @type {GmailGrantError | null} */
      let failure = new GmailGrantError({ reason: 'network', detail: 'The list was cut.' });
      try {
        const stream = await this.#call('listmessages', { ...query, pageToken, maxResults }, { headers: { Accept: ndjson }, signal });
        for await (const line of linesOf(stream, signal)) {
          if (!line.id) {
            failure = this.#shortfall(line);
            Object.assign(progress, { pageToken: undefined, incomplete: undefined, ...line });
            seen.clear();
          } else if (!seen.has(line.id)) {
            seen.add(line.id);
            progress.received++;
            onProgress?.({ ...progress });
            yield line;
            signal?.throwIfAborted();
          }
        }
      } catch (error) {
        if (!(error instanceof GmailGrantError)) throw error;
        failure = error;
      }
      if (!failure) return onProgress?.({ ...progress });
      if (progress.received > received || progress.pageToken !== pageToken) patience = 4;
      const seconds = Math.max(pauses[failure.reason] * 2 ** (4 - patience), failure.retryAfter ?? 0);
      failure.pageToken = progress.pageToken;
      if (patience < 1 || !(seconds <= 60)) throw failure;
      onProgress?.({ ...progress, pause: { reason: failure.reason, seconds } });
      await sleep(seconds, signal);
    }
  }

  /** One message; null: it is gone. @param {string} id @param {{format?: string, signal?: AbortSignal}} [options] @returns {Promise<Message | null>} */
  async message(id, { format = 'full', signal } = {}) {
    const list = await this.#call('listmessages', { id, format }, { signal });
    const failure = this.#shortfall(list);
    if (failure) throw failure;
    return list.messages[0] ?? null;
  }

  /** Ends the session here; the grant stays, so that connecting again asks nothing. */
  async signOut() {
    if (!this.#bearer) await this.#call('callback', {}, { method: 'DELETE' });
    sessionStorage.removeItem(this.#key);
  }

  /** Ends the grant, for every device; false: Google did not confirm it. */
  async disconnect() {
    const ended = await this.#call('callback', { grant: 'revoke' }, { method: 'DELETE' });
    sessionStorage.removeItem(this.#key);
    return ended?.revoked !== false;
  }

  /** @param {string} name @param {Members} [query] */
  #url(name, query = {}) {
    const { baseUrl } = this.#options;
    const pattern = baseUrl.includes('{function}') ? baseUrl : baseUrl.replace(/\/?$/, '/{function}');
    return withQuery(pattern.replace('{function}', name), query);
  }

  /** Why a list is incomplete; null: it is not. @param {Members} list */
  #shortfall({ incomplete }) {
    const prompt = incomplete?.reason === 'revoked' && 'consent';
    return incomplete ? new GmailGrantError({ ...incomplete, authorization_url: prompt ? this.#url('authurl', { prompt }) : undefined }) : null;
  }

  /** Remembers what the return needs; gives the address to go to. @param {Departure & {from?: string}} departure */
  async #departure({ authorizationUrl = this.#url('authurl'), prompt, loginHint, place, from }) {
    const { returnTo = location.origin + (this.#bearer ? '/' : location.pathname) } = this.#options;
    const state = crypto.randomUUID();
    const verifier = this.#bearer && crypto.randomUUID() + crypto.randomUUID();
    save(`gmailgrant.state ${state}`, { verifier, place, from });
    return withQuery(authorizationUrl, {
      return_to: returnTo,
      state,
      prompt,
      login_hint: loginHint,
      code_challenge: verifier && (await challengeOf(verifier)),
      code_challenge_method: verifier && 'S256',
    });
  }

  /** @returns {Promise<Return | null>} */
  async #comeBack() {
    if (!answer) return null;
    const { begun, code, error: reason, missingScopes: missing_scopes } = answer;
    answer = null;
    if (!begun) return { mine: false, missingScopes: [] };
    /** @type {Return} */
    const end = { mine: true, place: begun.place, missingScopes: missing_scopes };
    try {
      const authorization_url = this.#url('authurl', { prompt: missing_scopes[0] && 'consent' });
      if (reason) throw new GmailGrantError({ reason, authorization_url, missing_scopes });
      if (begun.verifier) await this.#trade({ code, code_verifier: begun.verifier });
      if (begun.from) location.replace(begun.from);
    } catch (error) {
      end.error = /** @type {GmailGrantError} */ (error);
    }
    return end;
  }

  /** Code for session. @param {Members} members @returns {Promise<Account>} */
  async #trade(members) {
    const headers = { 'Content-Type': 'application/json' };
    const { session, ...account } = await send(this.#url('callback'), { method: 'POST', headers, body: JSON.stringify(members), credentials: 'omit' });
    save(this.#key, { session, sub: account.user.sub });
    return account;
  }

  /** @param {string} name @param {Members} [query] @param {RequestInit} [init] @returns {Promise<any>} */
  async #call(name, query, init = {}) {
    await this.returned;
    await this.#renewal;
    const url = this.#url(name, query);
    if (!this.#bearer) return send(url, { ...init, credentials: 'include' });
    const { session, sub } = load(this.#key) ?? {};
    if (!session) throw new GmailGrantError({ reason: 'no_session', status: 401, authorization_url: this.#url('authurl') });
    const headers = { ...init.headers, Authorization: `Bearer ${session}` };
    return send(url, { ...init, headers, credentials: 'omit' }).catch(async (error) => {
      if (error.status === 401 && load(this.#key)?.session === session) {
        sessionStorage.removeItem(this.#key);
        if (!init.method && /session/.test(error.reason)) await (this.#renewal ??= this.#renew(sub));
      }
      throw error;
    });
  }

  /** Leaves for a new session, once a minute at most. @param {string} loginHint */
  async #renew(loginHint) {
    const last = 'gmailgrant.renewed';
    if (this.#options.renew === false || Date.now() - load(last) < 60_000) return;
    save(last, Date.now());
    location.replace(await this.#departure({ loginHint, from: location.href }));
    await sleep(10); // the page is gone by then, unless the user chose to stay
  }
}
