/**
 * gmailgrant in the browser: connects a Gmail account, lists its messages, and never holds
 * a token of Google. One file without dependencies, to be imported or copied.
 *
 * On a page that imports it, `state` with `code` or `error` in the address is the answer
 * of a sign-in: it leaves the address at once, before another script can read it. A Bearer
 * session is kept in sessionStorage: each tab has its own, until it is closed.
 *
 * @typedef {object} Options
 * @property {string} baseUrl BASE_URL of the deployment; a path like "/api" will do too
 * @property {'cookie' | 'handoff'} [way] `cookie` (default) for a page on the site of the
 *   functions, `handoff` for any other
 * @property {string} [returnTo] where a sign-in ends; default the page it began on or, for
 *   `handoff`, origin + "/". There it has to be an entry of RETURN_URLS
 * @property {boolean} [renew] what a GET does when the Bearer session has ended: leave the
 *   page for a new one, which asks the user nothing, and come back (default). As by a reload
 *   what is only in memory is lost: save it on `pagehide`. `false`: stay, and fail
 *
 * @typedef {object} Departure
 * @property {string} [prompt] `consent`, `select_account`, or both
 * @property {string} [loginHint] e-mail address or user ID
 * @property {any} [place] JSON that comes back in `returned`: where in the app, say
 * @property {string} [authorizationUrl] of an error
 * @property {string} [back] where to go on after the return; history then forgets this page
 *
 * @typedef {object} Return from a sign-in
 * @property {boolean} mine false: this tab did not begin it, so it was dropped
 * @property {any} [place]
 * @property {string[]} missingScopes not granted
 * @property {GmailGrantError} [error] why it failed
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
const passing = /deadline|response_size|rate_limited|upstream|network/;

/** @param {string} key */
const load = (key) => JSON.parse(sessionStorage.getItem(key) ?? 'null');

/** @param {string} key @param {any} value */
const save = (key, value) => sessionStorage.setItem(key, JSON.stringify(value));

/** @param {number} seconds @param {AbortSignal} [signal] */
const sleep = (seconds, signal) =>
	new Promise((resolve, reject) => {
		setTimeout(resolve, seconds * 1000);
		signal?.addEventListener('abort', () => reject(signal.reason));
	});

/** How a sign-in ended, if that led here. */
const answer = globalThis.history && takeAnswer(); // no history: not in a page

function takeAnswer() {
	const url = new URL(location.href);
	const { code, state, error: reason, missing_scopes: missing } = Object.fromEntries(url.searchParams);
	const key = `gmailgrant.state ${state}`;
	const begun = load(key); // null: not in this tab, false: that has ended already
	if (begun === null && !(state && (code || reason))) return null;
	save(key, false);
	for (const name of ['code', 'state', 'error', 'missing_scopes']) url.searchParams.delete(name);
	history.replaceState(null, '', url);
	return (begun || code || reason) && { ...begun, mine: !!begun, code, reason, missingScopes: missing?.split(' ') ?? [] };
}

/** @type {Promise<Return | null> | undefined} */
let returned;

/** Sets the parameters that have a value. @param {string} address @param {Members} query */
function withQuery(address, query) {
	const url = new URL(address, location.href);
	for (const [name, value] of Object.entries(query)) {
		if (value) url.searchParams.delete(name);
		for (const one of [value || []].flat()) url.searchParams.append(name, one);
	}
	return url.href;
}

/** RFC 7636, section 4.2. @param {string} verifier */
async function challengeOf(verifier) {
	const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
	return btoa(String.fromCharCode(...new Uint8Array(hash)))
		.replaceAll('+', '-').replaceAll('/', '_').replace('=', '');
}

/** The JSON of a good answer, or its stream of lines. @param {string} url @param {RequestInit} init */
async function send(url, init) {
	let problem = {};
	try {
		const response = await fetch(url, init);
		const { headers, ok, status } = response;
		if (headers.get('Content-Type') === ndjson) return response.body;
		const body = status === 204 ? null : await response.json();
		if (ok) return body;
		problem = { status, retry_after: headers.get('Retry-After'), ...body };
	} catch (error) {
		if (init.signal?.aborted) throw error;
	}
	throw new GmailGrantError(problem);
}

/** The objects in a stream; one that is cut just ends. @param {ReadableStream} stream @param {AbortSignal} [signal] */
async function* linesOf(stream, signal) {
	const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
	/** @type {any} */
	let rest = '';
	try {
		for (;;) {
			const { value, done } = await reader.read();
			if (done) return;
			const lines = (rest + value).split('\n');
			rest = lines.pop();
			for (const line of lines) yield JSON.parse(line);
		}
	} catch (error) {
		if (signal?.aborted) throw error;
	} finally {
		reader.cancel().catch(() => {});
	}
}

/** What goes wrong, apart from calls that were aborted. */
export class GmailGrantError extends Error {
	/** @type {string | undefined} where messages() can go on */
	pageToken;

	/** @param {Members} problem as the functions answer it */
	constructor(problem) {
		super(problem.detail ?? problem.reason ?? 'No whole answer.');
		/** @type {string} what to branch on; `network`: no answer of the functions */
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

export class GmailGrant {
	#options;
	#bearer;
	#key;
	/** @type {Promise<void> | undefined} */
	#gone;

	/** @param {Options} options */
	constructor(options) {
		this.#options = options;
		this.#bearer = options.way === 'handoff';
		this.#key = `gmailgrant.session ${options.baseUrl}`; // for no other deployment
		/** The sign-in that led here; null: none. Never rejects; every call waits for it. */
		this.returned = returned ??= this.#comeBack();
	}

	/** Leaves the page to sign in. @param {Departure} [departure] or an error */
	async connect({ authorizationUrl = this.#url('authurl'), prompt, loginHint, place, back } = {}) {
		const state = crypto.randomUUID();
		const verifier = this.#bearer && crypto.randomUUID() + crypto.randomUUID();
		save(`gmailgrant.state ${state}`, { verifier, place, back });
		location[back ? 'replace' : 'assign'](withQuery(authorizationUrl, {
			return_to: this.#options.returnTo ?? location.origin + (this.#bearer ? '/' : location.pathname),
			state,
			prompt,
			login_hint: loginHint,
			code_challenge: verifier && await challengeOf(verifier),
			code_challenge_method: verifier && 'S256',
		}));
	}

	/** Trades a code of Google's popup, for `handoff`. @param {string} code @returns {Promise<Account>} */
	usePopupCode(code) {
		return this.#trade({ code, redirect_uri: 'postmessage' });
	}

	/** Who is signed in; null: nobody. @returns {Promise<Account | null>} */
	who() {
		return this.#call('callback').catch((error) => {
			if (error.reason !== 'no_session') throw error;
			return null;
		});
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
		const most = query.maxResults || (query.format && !query.id && 100); // as without this module
		const seen = new Set(); // since pageToken
		/** @type {Progress} */
		const progress = { received: 0, pageToken: query.pageToken };
		for (let tries = 0; progress.received !== most; tries--) {
			const { received, pageToken } = progress;
			const maxResults = most && most - received + seen.size;
			try {
				const stream = await this.#call('listmessages', { ...query, pageToken, maxResults }, { signal });
				for await (const line of linesOf(stream, signal)) {
					if (!line.id) {
						progress.pageToken = line.nextPageToken ?? (line.incomplete && pageToken);
						if (line.incomplete) throw this.#problem(line.incomplete);
						return onProgress?.({ ...progress });
					}
					if (seen.has(line.id)) continue;
					seen.add(line.id);
					progress.received++;
					onProgress?.({ ...progress });
					yield line;
					signal?.throwIfAborted();
				}
				throw new GmailGrantError({});
			} catch (/** @type {any} */ error) {
				const moved = progress.pageToken !== pageToken;
				if (moved) seen.clear();
				if (moved || progress.received > received) tries = 3;
				const { reason, retryAfter: seconds = 4 - tries } = error;
				Object.assign(error, { pageToken: progress.pageToken });
				if (!tries || seconds > 60 || !passing.test(reason)) throw error;
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
		if (!this.#bearer) await this.#call('callback', {}, { method: 'DELETE' });
		sessionStorage.removeItem(this.#key);
	}

	/** Ends the grant, for every device; false: Google did not confirm it. */
	async disconnect() {
		const end = await this.#call('callback', { grant: 'revoke' }, { method: 'DELETE' });
		sessionStorage.removeItem(this.#key);
		return end?.revoked !== false;
	}

	/** @param {string} name @param {Members} [query] */
	#url(name, query = {}) {
		const { baseUrl } = this.#options;
		const base = baseUrl.includes('{function}') ? baseUrl : `${baseUrl}/{function}`;
		return withQuery(base.replace('{function}', name), query);
	}

	/** A failure that the functions did not tell as such. @param {Members} problem */
	#problem(problem) {
		const prompt = /scope|revoked/.test(problem.reason) && 'consent';
		const authorization_url = passing.test(problem.reason) ? undefined : this.#url('authurl', { prompt });
		return new GmailGrantError({ ...problem, authorization_url });
	}

	/** @returns {Promise<Return | null>} */
	async #comeBack() {
		if (!answer) return null;
		const { code, verifier, back, reason, ...end } = /** @type {Members & Return} */ (answer);
		try {
			if (end.mine && reason) throw this.#problem({ reason, missing_scopes: end.missingScopes });
			if (verifier) await this.#trade({ code, code_verifier: verifier });
			if (back && back !== location.href) {
				location.replace(back);
				await sleep(1); // so that no call begins that this would end
			}
		} catch (error) {
			end.error = /** @type {GmailGrantError} */ (error);
		}
		return end;
	}

	/** Code for session. @param {Members} members @returns {Promise<any>} */
	async #trade(members) {
		const headers = { 'Content-Type': 'application/json' };
		const body = JSON.stringify(members);
		const account = await send(this.#url('callback'), { method: 'POST', credentials: 'omit', headers, body });
		save(this.#key, account);
		return account;
	}

	/**
	 * A call with the session.
	 * @param {string} name
	 * @param {Members} [query]
	 * @param {RequestInit} [init]
	 * @returns {Promise<any>}
	 */
	async #call(name, query, init = {}) {
		await this.returned;
		await this.#gone;
		const { session, user } = (this.#bearer && load(this.#key)) || {};
		if (this.#bearer && !session) throw this.#problem({ reason: 'no_session', status: 401 });
		const headers = { Accept: ndjson, ...(session && { Authorization: `Bearer ${session}` }) };
		return send(this.#url(name, query), { ...init, headers, credentials: session ? 'omit' : 'include' }).catch(async (error) => {
			if (session && error.status === 401 && load(this.#key)?.session === session) {
				sessionStorage.removeItem(this.#key);
				if (!init.method && /session/.test(error.reason)) this.#gone = this.#renew(user.sub);
			}
			await this.#gone;
			throw error;
		});
	}

	/** Leaves for a new session, once a minute at most. @param {string} loginHint */
	async #renew(loginHint) {
		if (this.#options.renew === false || Date.now() - load('gmailgrant.renewed') < 60000) return;
		save('gmailgrant.renewed', Date.now());
		await this.connect({ loginHint, back: location.href });
		await sleep(10); // the page is gone by then, unless the user chose to stay
	}
}
