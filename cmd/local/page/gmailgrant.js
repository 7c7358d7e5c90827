/**
 * gmailgrant in the browser: connects a Gmail account, lists its messages, and never holds
 * a token of Google. One file without dependencies, to be imported or copied.
 *
 * On a page that imports it, `state` with `code` or `error` in the address is the answer
 * of a sign-in, and leaves the address as soon as the module runs. Import it before other
 * scripts, and not lazily: one that runs earlier may read the code, as any script may in
 * the browser's performance entries. It is worth nothing without the verifier in this tab.
 *
 * A Bearer session is kept in sessionStorage: each tab has its own, until it is closed.
 *
 * @typedef {object} Options
 * @property {string} baseUrl BASE_URL of the deployment; a path like "/api" will do too
 * @property {'cookie' | 'handoff'} [way] `cookie` (default) for a page on the site of the
 *   functions, `handoff` for any other
 * @property {string} [returnTo] where a sign-in ends; default the page it began on, without
 *   query and hash, or, for `handoff`, origin + "/". There it has to be an entry of
 *   RETURN_URLS
 * @property {boolean} [renew] what a GET does when the Bearer session has ended: leave the
 *   page for a new one, and come back (default). Google asks nothing of a user who is still
 *   signed in there. As by a reload what is only in memory is lost: save it on `pagehide`.
 *   `false`: stay, and fail
 *
 * @typedef {object} Departure
 * @property {string} [prompt] `consent`, `select_account`, or both
 * @property {string} [loginHint] e-mail address or user ID
 * @property {any} [place] JSON that comes back in `returned`: where in the app, say
 * @property {string} [authorizationUrl] of an error
 *
 * @typedef {object} Return from a sign-in, or from a renewal that failed
 * @property {boolean} mine false: this tab did not begin it, so it was dropped
 * @property {any} [place]
 * @property {string[]} missingScopes not granted
 * @property {GmailGrantError} [error] why it failed; `user_changed`: it did not, but another
 *   user than the one before is signed in now
 *
 * @typedef {object} Progress
 * @property {number} received messages so far
 * @property {string} [pageToken] where the answer under way began; at the end, what follows
 * @property {{reason: string, seconds: number}} [pause] how long the list waits, and why
 *
 * @typedef {{user: {sub: string, email?: string, name?: string, picture?: string},
 *   scopes: string[], missing_scopes: string[], expires_in: number}} Account
 * @typedef {{id: string, threadId: string, [member: string]: any}} Message as Gmail has it
 * @typedef {Record<string, any>} Members
 */

const ndjson = 'application/x-ndjson';

/** Reasons after which a list goes on by itself. */
const passing = /^(deadline|response_size|rate_limited|upstream_unavailable|network)$/;

/** What goes wrong, apart from calls that were aborted. */
export class GmailGrantError extends Error {
  /** @type {string | undefined} where messages() can go on */
  pageToken;

  /** @param {Members} problem as the functions answer it */
  constructor(problem) {
    super(problem.detail ?? problem.reason ?? 'No full answer.');
    /**
     * What to branch on: a reason of the functions, or `network` (no answer of theirs),
     * `user_changed`, `no_storage`.
     * @type {string}
     */
    this.reason = problem.reason ?? 'network';
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
  }
}

// What the tab keeps

/** Null: nothing is kept, or nothing may be. @param {string} key */
function load(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? 'null');
  } catch {
    return null;
  }
}

/** @param {string} key @param {any} value */
function save(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    throw new GmailGrantError({ reason: 'no_storage', detail: 'The browser keeps nothing for this page.' });
  }
}

/** @param {string} key */
function forget(key) {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // nothing is kept
  }
}

/** Where a renewal that failed is kept on the way back to the page that needed it. */
const failedRenewal = 'gmailgrant.renewal';

// The answer of a sign-in

const inAnswer = ['code', 'state', 'error', 'missing_scopes'];

/**
 * The answer in the address, together with what was saved when the sign-in began; null:
 * there is none.
 * @returns {Members | null}
 */
function takeAnswer() {
  const { code, state, error: reason, missing_scopes: missing } = Object.fromEntries(new URLSearchParams(location.search));
  const key = `gmailgrant.state ${state}`;
  const begun = state ? load(key) : null; // null: not in this tab; false: it has ended already
  const complete = Boolean(state && (code || reason)); // in the cookie way success has neither
  if (begun === null && !complete) return takeFailedRenewal();
  cleanAddress();
  if (begun) save(key, false);
  if (!begun && !complete) return null;
  return { ...begun, mine: Boolean(begun), code, reason, missingScopes: missing?.split(' ') ?? [] };
}

/** Takes the answer out of the address and leaves the rest as it is written. */
function cleanAddress() {
  const isOurs = (/** @type {string} */ pair) => inAnswer.some((name) => new URLSearchParams(pair).has(name));
  const rest = location.search.slice(1).split('&').filter((pair) => !isOurs(pair)).join('&');
  history.replaceState(history.state, '', location.origin + location.pathname + (rest && `?${rest}`) + location.hash);
}

function takeFailedRenewal() {
  const failed = load(failedRenewal);
  forget(failedRenewal);
  return failed;
}

const answer = globalThis.history ? takeAnswer() : null; // no history: not in a page

/**
 * What became of the answer, by the deployment that it is for: its grants share it.
 * @type {Record<string, Promise<Return | null>>}
 */
const returns = {};

// Requests

/**
 * Sets the parameters that have a value; lists become repeated parameters.
 * @param {string} address
 * @param {Members} query
 */
function withQuery(address, query) {
  const url = new URL(address, globalThis.location?.href);
  for (const [name, given] of Object.entries(query)) {
    const values = [given].flat().filter((value) => value !== undefined && value !== null && value !== '');
    if (values.length > 0) url.searchParams.delete(name);
    for (const value of values) url.searchParams.append(name, value);
  }
  return url.href;
}

/** RFC 7636, section 4.2. @param {string} verifier */
async function challengeOf(verifier) {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  return btoa(String.fromCharCode(...new Uint8Array(hash)))
    .replaceAll('+', '-').replaceAll('/', '_').replace('=', '');
}

/**
 * A good answer.
 * @param {string} url
 * @param {RequestInit} init
 */
async function send(url, init) {
  let problem = {};
  try {
    const response = await fetch(url, init);
    if (response.ok) return response;
    const { status, headers } = response;
    problem = { retry_after: headers.get('Retry-After'), ...await response.json(), status };
  } catch (error) {
    if (init.signal?.aborted) throw error;
  }
  throw new GmailGrantError(problem);
}

/**
 * The JSON of a good answer, which has a certain member.
 * @param {Response} response
 * @param {string} member
 */
async function jsonOf(response, member) {
  const json = await response.json().catch(() => null);
  if (json?.[member] === undefined) throw new GmailGrantError({});
  return json;
}

/**
 * The objects in a list as they arrive. A list that is cut, or is none, just ends.
 * @param {Response} response
 * @param {AbortSignal} [signal]
 * @returns {AsyncGenerator<Members, void, void>}
 */
async function* linesOf({ headers, body }, signal) {
  if (!body || !headers.get('Content-Type')?.startsWith(ndjson)) return;
  const reader = body.pipeThrough(/** @type {TransformStream} */ (new TextDecoderStream())).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = /** @type {string} */ (lines.pop());
      for (const line of lines) {
        const object = JSON.parse(line);
        if (!(object instanceof Object) || Array.isArray(object)) return; // no list of ours
        yield object;
      }
    }
  } catch (error) {
    if (signal?.aborted) throw error;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {number} seconds @param {AbortSignal} [signal] */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve(undefined);
    }, seconds * 1000);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** Lets nothing begin while the page is being left; after a while it seems to stay. */
const untilLeft = () => sleep(30);

/**
 * How many messages a list may have; undefined: all there are.
 * @param {Members} query
 */
function limitOf({ maxResults, format, id }) {
  if (maxResults !== undefined && maxResults !== null && maxResults !== '') return Number(maxResults);
  return format && !id ? 100 : undefined; // as the functions have it
}

export class GmailGrant {
  #options;
  #bearer;
  #deployment; // what tells it from others
  #key; // of its Bearer session
  /** @type {string | undefined} who was signed in when last asked */
  #user;
  /** @type {Promise<void> | undefined} */
  #leaving;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#bearer = options.way === 'handoff';
    this.#deployment = this.#url('callback');
    this.#key = `gmailgrant.session ${this.#deployment}`;
    /** The sign-in that led here; null: none. Never rejects; every call waits for it. */
    this.returned = returns[this.#deployment] ??= this.#comeBack();
  }

  /** Leaves the page to sign in. @param {Departure} [departure] or an error */
  async connect(departure = {}) {
    location.assign(await this.#begin(departure));
  }

  /**
   * Trades a code of Google's popup, for `handoff`.
   * @param {string} code
   * @returns {Promise<Account>}
   */
  usePopupCode(code) {
    return this.#trade({ code, redirect_uri: 'postmessage' });
  }

  /** Who is signed in; null: nobody. @returns {Promise<Account | null>} */
  async who() {
    try {
      const account = await jsonOf(await this.#call('callback'), 'user');
      this.#user = account.user.sub;
      return account;
    } catch (/** @type {any} */ error) {
      if (error.reason === 'no_session') return null;
      throw error;
    }
  }

  /**
   * The messages that match, as they arrive. The list goes on by itself after an answer
   * that is incomplete or cut, without gap or repeat, and waits for up to a minute where
   * it is asked to. When it can't go on it throws; the error's pageToken goes on later.
   * @param {Members} [query] parameters of listmessages
   * @param {{signal?: AbortSignal, onProgress?: (progress: Progress) => void}} [options]
   * @returns {AsyncGenerator<Message, void, void>}
   */
  async *messages(query = {}, { signal, onProgress } = {}) {
    const user = this.#user;
    const most = limitOf(query);
    /** @type {Progress} */
    const progress = { received: 0, pageToken: query.pageToken };
    const seen = new Set(); // IDs of what has arrived since pageToken
    let tries = 0; // that are left; while nothing has arrived a failure is told at once
    for (;;) {
      const { received, pageToken } = progress;
      try {
        if (received > 0 && !pageToken) await this.#expect(user);
        const maxResults = most === undefined ? undefined : most - received + seen.size;
        const response = await this.#call('listmessages', { ...query, pageToken, maxResults }, { signal });
        for await (const line of linesOf(response, signal)) {
          if (!line.id) {
            progress.pageToken = line.nextPageToken ?? (line.incomplete && pageToken);
            if (line.incomplete) throw this.#problem(line.incomplete);
            onProgress?.({ ...progress });
            return;
          }
          if (seen.has(line.id)) continue;
          seen.add(line.id);
          progress.received++;
          onProgress?.({ ...progress });
          yield /** @type {Message} */ (line);
          signal?.throwIfAborted();
        }
        throw new GmailGrantError({}); // the last line is missing
      } catch (error) {
        if (!(error instanceof GmailGrantError)) throw error;
        const moved = progress.pageToken !== pageToken;
        if (moved) seen.clear();
        if (moved && progress.received === most) {
          onProgress?.({ ...progress });
          return;
        }
        if (moved || progress.received > received) tries = 3;
        error.pageToken = progress.pageToken;
        const { reason, retryAfter: seconds = 4 - tries } = error;
        if (tries === 0 || seconds > 60 || !passing.test(reason)) throw error;
        tries--;
        onProgress?.({ ...progress, pause: { reason, seconds } });
        await sleep(seconds, signal);
      }
    }
  }

  /**
   * One message; null: it is gone.
   * @param {string} id
   * @param {{format?: string, signal?: AbortSignal}} [options]
   */
  async message(id, { format = 'full', signal } = {}) {
    for await (const message of this.messages({ id, format }, { signal })) return message;
    return null;
  }

  /** Ends the session here; the grant stays, so that connecting again asks nothing. */
  async signOut() {
    await this.returned;
    if (!this.#bearer) await this.#call('callback', {}, { method: 'DELETE' });
    forget(this.#key);
  }

  /** Ends the grant, for every device; false: Google did not confirm it. */
  async disconnect() {
    const response = await this.#call('callback', { grant: 'revoke' }, { method: 'DELETE' });
    const confirmed = response.status === 204 || (await jsonOf(response, 'revoked')).revoked;
    forget(this.#key);
    return confirmed;
  }

  /** The address of a function. @param {string} name @param {Members} [query] */
  #url(name, query = {}) {
    const { baseUrl } = this.#options;
    const pattern = baseUrl.includes('{function}') ? baseUrl : baseUrl.replace(/\/?$/, '/{function}');
    return withQuery(pattern.replace('{function}', name), query);
  }

  /** A failure that the functions did not tell as such. @param {Members} problem */
  #problem(problem) {
    const prompt = /scope|revoked/.test(problem.reason) ? 'consent' : undefined;
    const authorization_url = passing.test(problem.reason) ? undefined : this.#url('authurl', { prompt });
    return new GmailGrantError({ ...problem, authorization_url });
  }

  /** In the cookie way another tab may have signed in somebody else. @param {string} [user] */
  async #expect(user) {
    if (this.#bearer || !user || (await this.who())?.user.sub === user) return;
    throw this.#problem({ reason: 'user_changed', detail: 'Another user is signed in now.' });
  }

  /**
   * Begins a sign-in and returns the address that it leads over.
   * @param {Departure} departure
   * @param {{user?: string, back?: string}} [renewal] whose session was here, on which page
   */
  async #begin({ authorizationUrl = this.#url('authurl'), prompt, loginHint, place }, renewal) {
    const state = crypto.randomUUID();
    const verifier = this.#bearer ? crypto.randomUUID() + crypto.randomUUID() : undefined;
    save(`gmailgrant.state ${state}`, { deployment: this.#deployment, verifier, place, ...renewal });
    return withQuery(authorizationUrl, {
      return_to: this.#options.returnTo ?? location.origin + (this.#bearer ? '/' : location.pathname),
      state,
      prompt,
      login_hint: loginHint,
      code_challenge: verifier && await challengeOf(verifier),
      code_challenge_method: verifier && 'S256',
    });
  }

  /** Ends the sign-in that led here. @returns {Promise<Return | null>} */
  async #comeBack() {
    if (!answer || (answer.mine && answer.deployment !== this.#deployment)) return null;
    const { deployment, code, verifier, reason, user, back, ...end } = /** @type {Members & Return} */ (answer);
    try {
      if (end.mine && reason) throw this.#problem({ reason, missing_scopes: end.missingScopes });
      if (verifier) await this.#trade({ code, code_verifier: verifier });
      if (user && load(this.#key).user.sub !== user) {
        end.error = this.#problem({ reason: 'user_changed', detail: 'Another user is signed in now.' });
        return end;
      }
    } catch (error) {
      end.error = /** @type {GmailGrantError} */ (error);
    }
    if (back) await this.#goBack(back, end);
    return end;
  }

  /** Goes on where a renewal began, and tells there if it failed. @param {string} back @param {Return} end */
  async #goBack(back, { mine, missingScopes, error }) {
    if (back === location.href) return;
    const stays = back.split('#')[0] === location.href.split('#')[0];
    if (error && !stays) save(failedRenewal, { deployment: this.#deployment, mine, missingScopes, reason: error.reason });
    location.replace(back);
    if (!stays) await untilLeft();
  }

  /** Code for session. @param {Members} members @returns {Promise<any>} */
  async #trade(members) {
    const headers = { 'Content-Type': 'application/json' };
    const body = JSON.stringify(members);
    const account = await jsonOf(await send(this.#url('callback'), { method: 'POST', credentials: 'omit', headers, body }), 'session');
    save(this.#key, account);
    return account;
  }

  /**
   * A call with the session.
   * @param {string} name
   * @param {Members} [query]
   * @param {RequestInit} [init]
   */
  async #call(name, query, init = {}) {
    await this.returned;
    await this.#leaving;
    const { session, user } = (this.#bearer && load(this.#key)) || {};
    if (this.#bearer && !session) throw this.#problem({ reason: 'no_session', status: 401 });
    const headers = { Accept: ndjson, ...(session && { Authorization: `Bearer ${session}` }) };
    try {
      return await send(this.#url(name, query), { ...init, headers, credentials: session ? 'omit' : 'include' });
    } catch (/** @type {any} */ error) {
      if (session && error.status === 401 && load(this.#key)?.session === session) {
        forget(this.#key);
        if (!init.method && /session/.test(error.reason)) this.#leaving = this.#renew(user.sub);
      }
      await this.#leaving;
      throw error;
    }
  }

  /** Leaves for a new session, once a minute at most. @param {string} user */
  async #renew(user) {
    if (this.#options.renew === false || Date.now() - load('gmailgrant.renewed') < 60_000) return;
    save('gmailgrant.renewed', Date.now());
    location.replace(await this.#begin({ loginHint: user }, { user, back: location.href }));
    await untilLeft();
  }
}
