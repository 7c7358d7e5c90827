/** The functions as a front end sees them: one JavaScript function per request. */

import { jsonLines } from './lines.js';

/**
 * A failed request. Every failure of the functions is a problem document
 * (RFC 9457) whose `reason` is what a program branches on. Requests that got no
 * such answer have the reason "network".
 */
export class Problem extends Error {
  constructor(document, retryAfter) {
    super(document.detail || document.title);
    this.document = document;
    this.reason = document.reason;
    this.authorizationURL = document.authorization_url;
    this.missingScopes = document.missing_scopes ?? [];
    this.retryAfter = retryAfter;
  }
}

const unreachable = (detail) => new Problem({ title: 'No answer', detail, reason: 'network' });

/** Sends a request and returns the answer if it is a good one. */
async function send(url, options) {
  let response;
  try {
    response = await fetch(url, { credentials: 'include', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw unreachable('The functions could not be reached, or they do not allow this page.');
  }
  if (!response.ok) throw new Problem(await jsonOf(response), response.headers.get('Retry-After'));
  return response;
}

async function jsonOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw unreachable('The answer broke off before its end.');
  }
}

/** Sends a request and returns the JSON of the answer, null when it has none. */
async function request(url, options) {
  const response = await send(url, options);
  return response.status === 204 ? null : jsonOf(response);
}

function withQuery(address, parameters) {
  const url = new URL(address);
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== undefined && one !== '') url.searchParams.append(name, one);
    }
  }
  return url;
}

/** The functions at the addresses {authurl, callback, listmessages}. */
export class Functions {
  constructor(addresses) {
    this.addresses = addresses;
  }

  /** Where to send the browser to sign in. */
  signInURL(parameters) {
    return withQuery(this.addresses.authurl, parameters);
  }

  /** {user, scopes, missing_scopes, expires_in} */
  whoIsSignedIn() {
    return request(this.addresses.callback);
  }

  signOut() {
    return request(this.addresses.callback, { method: 'DELETE' });
  }

  /** {revoked}, or null when the grant was gone already. */
  disconnect() {
    return request(withQuery(this.addresses.callback, { grant: 'revoke' }), { method: 'DELETE' });
  }

  /**
   * A list, line by line as it arrives: messages, then the only line without an id,
   * {nextPageToken, resultSizeEstimate, incomplete}. Without that one the stream was cut.
   */
  async *listLines(parameters, { signal }) {
    const headers = { Accept: 'application/x-ndjson' };
    const response = await send(withQuery(this.addresses.listmessages, parameters), { headers, signal });
    yield* jsonLines(response.body);
  }

  /** {messages, incomplete}: one message with everything in it, or none if it is gone. */
  getMessage(id, { signal }) {
    return request(withQuery(this.addresses.listmessages, { id, format: 'full' }), { signal });
  }

  /** Any request to one of the functions, for the errors it brings. */
  call(name, parameters, options) {
    return request(withQuery(this.addresses[name], parameters), options);
  }
}
