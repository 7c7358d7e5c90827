import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { gzipSync } from 'node:zlib';

import { Page, account, cutList, json, list, problem, stream } from './page_stand_in.mjs';

/** Reads a list: the IDs as one word, and the error that ended it, if one did. */
async function read(messages) {
  let ids = '';
  try {
    for await (const message of messages) ids += message.id;
  } catch (error) {
    return { ids, error };
  }
  return { ids };
}

const searched = (request, ...names) => names.map((name) => request.url.searchParams.get(name));

// Size

test('the module is small on its way: with its comments, compressed as servers do', () => {
  const size = gzipSync(readFileSync(new URL('../page/gmailgrant.js', import.meta.url))).length;
  assert.ok(size < 8000, `${size} bytes`);
});

// The way there

test('hand-off: PKCE, a state of its own, the place in the app', async () => {
  const page = new Page('https://app.example/inbox?folder=2#top');
  const grant = await page.grant();
  await grant.connect({ prompt: 'select_account', loginHint: 'ada@example.com', place: { folder: 2 } });
  const [{ how, url }] = page.left;
  assert.equal(how, 'assign');
  assert.ok(url.startsWith('https://functions.example/authurl?'));
  const { state, code_challenge: challenge, ...query } = Object.fromEntries(page.departure());
  assert.deepEqual(query, {
    return_to: 'https://app.example/', code_challenge_method: 'S256', prompt: 'select_account', login_hint: 'ada@example.com',
  });

  const back = page.goTo(page.address('/', { code: 'a code', state }));
  back.answers.push(json(account), json(account));
  const returned = await (await back.grant()).returned;
  assert.deepEqual(returned, { mine: true, place: { folder: 2 }, missingScopes: [] });
  const [trade] = back.requests;
  assert.equal(`${trade.method} ${trade.url} ${trade.credentials}`, 'POST https://functions.example/callback omit');
  assert.equal(trade.headers['Content-Type'], 'application/json');
  const { code, code_verifier: verifier, ...rest } = JSON.parse(trade.body);
  assert.equal(code, 'a code');
  assert.match(verifier, /^[A-Za-z0-9._~-]{43,128}$/);
  assert.equal(createHash('sha256').update(verifier).digest('base64url'), challenge);
  assert.deepEqual(rest, {});
});

test('cookie: back to the page itself, nothing to trade', async () => {
  const page = new Page('https://app.example/inbox?folder=2');
  await (await page.grant({ way: 'cookie' })).connect();
  const { state, ...query } = Object.fromEntries(page.departure());
  assert.deepEqual(query, { return_to: 'https://app.example/inbox' });

  const back = page.goTo(page.address('/inbox', { state }));
  back.answers.push(json(account));
  const grant = await back.grant({ way: 'cookie' });
  assert.deepEqual(await grant.returned, { mine: true, missingScopes: [] });
  assert.deepEqual((await grant.who()).user, account.user);
  const [request] = back.requests;
  assert.equal(`${request.method} ${request.url} ${request.credentials}`, 'GET https://functions.example/callback include');
  assert.equal(request.headers.Authorization, undefined);
});

test('a place to return to that was chosen', async () => {
  for (const way of ['cookie', 'handoff']) {
    const page = new Page('https://app.example/inbox');
    await (await page.grant({ way, returnTo: 'https://app.example/in?x=1' })).connect();
    assert.equal(page.departure().get('return_to'), 'https://app.example/in?x=1');
  }
});

test('an error leads back', async () => {
  const page = new Page();
  const { GmailGrantError } = await page.load();
  const error = new GmailGrantError({
    reason: 'revoked',
    authorization_url: 'https://functions.example/authurl?login_hint=1234&prompt=consent&return_to=https%3A%2F%2Fapp.example%2F',
  });
  await (await page.grant({ returnTo: 'https://app.example/in' })).connect(error);
  const query = page.departure();
  assert.deepEqual(query.getAll('return_to'), ['https://app.example/in']);
  assert.deepEqual(query.getAll('prompt'), ['consent']);
  assert.deepEqual(query.getAll('login_hint'), ['1234']);
  assert.equal(query.getAll('state').length, 1);
  assert.equal(query.get('code_challenge').length, 43);
});

test('addresses of the functions', async () => {
  for (const [baseUrl, want] of [
    ['https://functions.example', 'https://functions.example/authurl'],
    ['https://functions.example/api/', 'https://functions.example/api/authurl'],
    ['/api', 'https://app.example/api/authurl'],
    ['https://{function}-1.run.app', 'https://authurl-1.run.app/'],
  ]) {
    const page = new Page();
    await (await page.grant({ baseUrl })).connect();
    assert.equal(page.left[0].url.split('?')[0], want);
  }
});

// The way back

test('the answer leaves the address before anything else runs, the rest stays', async () => {
  for (const [query, rest] of [
    ['code=c&state=s', ''],
    ['tab=2&code=c&state=s&missing_scopes=a+b&view=list', '?tab=2&view=list'],
    ['error=access_denied&state=s', ''],
    ['flag&code=c&a=%20b&state=s', '?flag&a=%20b'],
    ['%63ode=c&state=s', ''],
  ]) {
    const page = new Page(`https://app.example/in?${query}#m7`);
    await page.load();
    assert.equal(page.url.href, `https://app.example/in${rest}#m7`);
  }
});

test('parameters of the app are no answer', async () => {
  for (const query of ['?state=open', '?code=7', '?error=1&code=2', '?tab=2', '']) {
    const page = new Page(`https://app.example/${query}`);
    const grant = await page.grant();
    assert.equal(await grant.returned, null);
    assert.equal(page.url.search, query);
  }
});

test('where a page may keep nothing', async () => {
  const blocked = (address) => {
    const page = new Page(address);
    Object.defineProperty(globalThis, 'sessionStorage', { get: () => { throw new Error('blocked'); }, configurable: true });
    return page;
  };
  const page = blocked('https://app.example/?code=c&state=s');
  const grant = await page.grant();
  assert.equal(page.url.href, 'https://app.example/');
  assert.equal((await grant.returned).mine, false);
  assert.equal(await grant.who(), null);
  await assert.rejects(grant.connect(), { name: 'Error', reason: 'no_storage' });
  await grant.signOut();
  page.answers.push(json(account));
  await assert.rejects(grant.usePopupCode('4/0A'), { reason: 'no_storage' });
  assert.deepEqual(page.left, []);

  const cookie = blocked('https://app.example/');
  cookie.answers.push(json(account));
  assert.deepEqual((await (await cookie.grant({ way: 'cookie' })).who()).user, account.user);
});

test('what something else has stored there is nobody’s session', async () => {
  const page = new Page('https://app.example/', new Map([['gmailgrant.session https://functions.example/callback', '{']]));
  assert.equal(await (await page.grant()).who(), null);
});

test('a code that this tab did not ask for is dropped', async () => {
  const elsewhere = new Page();
  const page = new Page((await elsewhere.returnedFrom(await elsewhere.grant())).url); // another tab
  const grant = await page.grant();
  assert.deepEqual(await grant.returned, { mine: false, missingScopes: [] });
  assert.equal(page.url.href, 'https://app.example/');
  assert.deepEqual(page.requests, []);
  assert.equal(await grant.who(), null);
});

test('an error that this tab did not ask for is nobody’s', async () => {
  const page = new Page('https://app.example/?error=access_denied&state=theirs');
  assert.deepEqual(await (await page.grant()).returned, { mine: false, missingScopes: [] });
});

test('a state is no key to what else the tab has stored', async () => {
  const page = new Page('https://app.example/?code=c&state=theirs', new Map([['theirs', '{"verifier":"v"}']]));
  assert.equal((await (await page.grant()).returned).mine, false);
  assert.ok(page.stored.has('theirs'));
});

test('of several attempts in a tab each can be the one that ends', async () => {
  const page = new Page();
  const grant = await page.grant();
  await grant.connect({ place: 'first' });
  const first = page.departure().get('state');
  await grant.connect({ place: 'second' });
  for (const [state, place] of [[page.departure().get('state'), 'second'], [first, 'first']]) {
    const back = page.goTo(page.address('/', { code: 'c', state }));
    back.answers.push(json(account));
    assert.deepEqual(await (await back.grant()).returned, { mine: true, place, missingScopes: [] });
  }
});

test('a code is traded once: not again by a second grant, nor after a reload', async () => {
  const page = await new Page().signedIn();
  const { GmailGrant } = await page.load();
  const options = { baseUrl: 'https://functions.example', way: 'handoff' };
  const [one, two] = [new GmailGrant(options), new GmailGrant(options)];
  await Promise.all([one.returned, two.returned]);
  assert.equal(page.requests.length, 1);
  const reloaded = page.goTo(page.url);
  assert.equal(await (await reloaded.grant()).returned, null);
  assert.deepEqual(reloaded.requests, []);
});

test('a return that comes again, by the back button say, is no other one', async () => {
  for (const [way, query, want] of [['handoff', { code: 'c' }, { mine: false, missingScopes: [] }], ['cookie', {}, null]]) {
    const page = new Page();
    const first = await page.returnedFrom(await page.grant({ way }), query);
    first.answers.push(json(account));
    assert.equal((await (await first.grant({ way })).returned).mine, true);
    const again = first.goTo(first.address('/', { ...query, state: page.departure().get('state') }));
    assert.deepEqual(await (await again.grant({ way })).returned, want);
    assert.equal(again.url.href, 'https://app.example/');
    assert.deepEqual(again.requests, []);
  }
});

test('calls wait for the code to be traded', async () => {
  const page = await new Page().signedIn();
  page.answers.push(json(account));
  await (await page.grant()).who();
  assert.deepEqual(page.requests.map(({ method }) => method), ['POST', 'GET']);
  assert.equal(page.requests[1].headers.Authorization, 'Bearer a session');
  assert.equal(page.requests[1].credentials, 'omit');
});

test('an answer goes to the deployment that was asked', async () => {
  const page = new Page();
  const back = await page.returnedFrom(await page.grant({ baseUrl: 'https://b.example' }));
  back.answers.push(json(account), json(account));
  const { GmailGrant } = await back.load();
  const [a, b, again] = ['https://a.example', 'https://b.example', 'https://b.example/'].map((baseUrl) => new GmailGrant({ baseUrl, way: 'handoff' }));
  assert.equal(await a.returned, null);
  assert.equal((await b.returned).mine, true);
  assert.equal((await again.returned).mine, true);
  assert.deepEqual(back.requests.map(({ url }) => url.href), ['https://b.example/callback']);
  assert.equal(await a.who(), null);
  assert.deepEqual((await again.who()).user, account.user);
});

test('a session goes to the deployment that gave it', async () => {
  const page = await new Page().signedIn();
  const grant = await page.grant();
  await grant.returned;
  const other = await page.grant({ baseUrl: 'https://other.example' });
  assert.equal(await other.who(), null);
  assert.equal(page.requests.length, 1);
});

test('a sign-in that failed', async () => {
  for (const [query, want] of [
    [{ error: 'access_denied' }, { reason: 'access_denied', url: 'https://functions.example/authurl', missingScopes: [] }],
    [{ error: 'missing_scope', missing_scopes: 'mail more' },
      { reason: 'missing_scope', url: 'https://functions.example/authurl?prompt=consent', missingScopes: ['mail', 'more'] }],
    [{ error: 'upstream_unavailable' }, { reason: 'upstream_unavailable', url: undefined, missingScopes: [] }],
  ]) {
    const page = new Page();
    const back = await page.returnedFrom(await page.grant(), query);
    const grant = await back.grant();
    const { mine, error } = await grant.returned;
    assert.equal(mine, true);
    assert.deepEqual({ reason: error.reason, url: error.authorizationUrl, missingScopes: error.missingScopes }, want);
    assert.equal(await grant.who(), null);
    assert.deepEqual(back.requests, []);
    assert.deepEqual(back.left, []);
  }
});

test('a code that is refused', async () => {
  const page = new Page();
  const back = await page.returnedFrom(await page.grant());
  back.answers.push(problem('code_exchange_failed', 400, { authorization_url: 'https://functions.example/authurl' }));
  const { mine, error } = await (await back.grant()).returned;
  assert.equal(mine, true);
  assert.equal(error.reason, 'code_exchange_failed');
});

test('scopes that were not granted', async () => {
  const page = new Page();
  const back = await page.returnedFrom(await page.grant(), { code: 'c', missing_scopes: 'contacts calendar' });
  back.answers.push(json(account));
  assert.deepEqual((await (await back.grant()).returned).missingScopes, ['contacts', 'calendar']);
});

test('a code of Google’s popup', async () => {
  const page = new Page();
  const grant = await page.grant();
  page.answers.push(json(account), json(account));
  assert.deepEqual((await grant.usePopupCode('4/0A')).user, account.user);
  assert.deepEqual(JSON.parse(page.requests[0].body), { code: '4/0A', redirect_uri: 'postmessage' });
  await grant.who();
  assert.equal(page.requests[1].headers.Authorization, 'Bearer a session');
});

test('outside a page it is nobody’s', async () => {
  const page = new Page();
  for (const name of ['history', 'location', 'sessionStorage']) delete globalThis[name];
  const grant = await page.grant();
  assert.equal(await grant.returned, null);
  assert.equal(await grant.who(), null);
});

// Lists

async function reader(options) {
  const page = await new Page().signedIn();
  const grant = await page.grant(options);
  await grant.returned;
  page.requests.length = 0;
  return { page, grant };
}

test('a list', async () => {
  const { page, grant } = await reader();
  page.answers.push(list('abc', { nextPageToken: 'more', resultSizeEstimate: 9 }));
  const seen = [];
  const query = { q: 'is:unread', labelIds: ['INBOX', 'STARRED'], maxResults: 3, pageToken: 'p' };
  const { ids, error } = await read(grant.messages(query, { onProgress: (progress) => seen.push(progress) }));
  assert.equal(error, undefined);
  assert.equal(ids, 'abc');
  const [{ url, headers }] = page.requests;
  assert.equal(url.pathname, '/listmessages');
  assert.deepEqual([...url.searchParams], [
    ['q', 'is:unread'], ['labelIds', 'INBOX'], ['labelIds', 'STARRED'], ['maxResults', '3'], ['pageToken', 'p'],
  ]);
  assert.equal(headers.Accept, 'application/x-ndjson');
  assert.deepEqual(seen.map(({ received, pageToken }) => [received, pageToken]), [[1, 'p'], [2, 'p'], [3, 'p'], [3, 'more']]);
});

test('what is empty is not sent', async () => {
  const { page, grant } = await reader();
  page.answers.push(list(''));
  assert.deepEqual(await read(grant.messages({ q: '', labelIds: [], pageToken: undefined, maxResults: '', id: null })), { ids: '' });
  assert.equal(page.requests[0].url.search, '');
});

test('what is not empty is sent: zero and false mean something', async () => {
  const { page, grant } = await reader();
  page.answers.push(problem('invalid_request', 400), list(''));
  assert.equal((await read(grant.messages({ maxResults: 0 }))).error.reason, 'invalid_request');
  assert.equal(page.requests[0].url.search, '?maxResults=0');
  await read(grant.messages({ includeSpamTrash: false }));
  assert.equal(page.requests[1].url.search, '?includeSpamTrash=false');
});

test('lines in chunks of any size', async () => {
  const bytes = new TextEncoder().encode('{"id":"ä"}\n{"id":"b"}\n{}\n');
  for (const size of [1, 3, 8, 100]) {
    const { page, grant } = await reader();
    const chunks = [];
    for (let i = 0; i < bytes.length; i += size) chunks.push(bytes.subarray(i, i + size));
    page.answers.push(stream(...chunks));
    assert.deepEqual(await read(grant.messages()), { ids: 'äb' });
    assert.equal(page.requests.length, 1);
  }
});

test('an incomplete list goes on by itself', async () => {
  const { page, grant } = await reader();
  page.answers.push(
    list('ab', { nextPageToken: 'p1', incomplete: { reason: 'deadline' } }),
    list('c', { nextPageToken: 'p2', incomplete: { reason: 'rate_limited', retry_after: 30 } }),
    list('', { nextPageToken: 'p3', incomplete: { reason: 'response_size' } }), // a place further on
    list('d', {}),
  );
  const pauses = [];
  const onProgress = ({ pause }) => pause && pauses.push(`${pause.reason} ${pause.seconds}`);
  assert.deepEqual(await read(grant.messages({ maxResults: 10 }, { onProgress })), { ids: 'abcd' });
  assert.deepEqual(page.requests.map((request) => searched(request, 'pageToken', 'maxResults')),
    [[null, '10'], ['p1', '8'], ['p2', '7'], ['p3', '7']]);
  assert.deepEqual(page.waits, [1, 30, 1]);
  assert.deepEqual(pauses, ['deadline 1', 'rate_limited 30', 'response_size 1']);
});

test('without maxResults it asks for what the functions give by default', async () => {
  for (const [query, first, second] of [[{}, null, null], [{ format: 'metadata' }, '100', '98']]) {
    const { page, grant } = await reader();
    page.answers.push(list('ab', { nextPageToken: 'p', incomplete: { reason: 'deadline' } }), list('c'));
    assert.deepEqual(await read(grant.messages(query)), { ids: 'abc' });
    assert.deepEqual(page.requests.map((request) => request.url.searchParams.get('maxResults')), [first, second]);
  }
});

test('never more than maxResults, as a number or out of a form', async () => {
  for (const maxResults of [3, '3']) {
    const { page, grant } = await reader();
    page.answers.push(list('ab', { nextPageToken: 'p', incomplete: { reason: 'deadline' } }), list('c', { nextPageToken: 'q', incomplete: { reason: 'deadline' } }));
    assert.deepEqual(await read(grant.messages({ maxResults })), { ids: 'abc' });
    assert.deepEqual(page.requests.map((request) => searched(request, 'maxResults')), [['3'], ['1']]);
  }
});

test('a list that is cut before its last line is asked for that', async () => {
  const { page, grant } = await reader();
  page.answers.push(stream('{"id":"a"}\n{"id":"b"}\n'), list('ab', { nextPageToken: 'p' }));
  let last;
  assert.deepEqual(await read(grant.messages({ maxResults: 2 }, { onProgress: (progress) => { last = progress; } })), { ids: 'ab' });
  assert.deepEqual(last, { received: 2, pageToken: 'p' });
  assert.deepEqual(page.requests.map((request) => searched(request, 'maxResults')), [['2'], ['2']]);
});

test('a list that is cut goes on where it was, without repeats', async () => {
  const { page, grant } = await reader();
  page.answers.push(
    list('ab', { nextPageToken: 'p1', incomplete: { reason: 'deadline' } }),
    cutList('cde'),
    cutList('cdef'),
    list('cdefgh', { nextPageToken: 'p2' }),
  );
  assert.deepEqual(await read(grant.messages({ maxResults: 8 })), { ids: 'abcdefgh' });
  assert.deepEqual(page.requests.map((request) => searched(request, 'pageToken', 'maxResults')),
    [[null, '8'], ['p1', '6'], ['p1', '6'], ['p1', '6']]);
});

test('an answer that names no place to go on at counts as cut', async () => {
  const { page, grant } = await reader();
  page.answers.push(list('ab', { incomplete: { reason: 'deadline' } }), list('abc'));
  assert.deepEqual(await read(grant.messages({ pageToken: 'p' })), { ids: 'abc' });
  assert.equal(page.requests[1].url.search, '?pageToken=p');
});

test('a stream that ends without its last line was cut too', async () => {
  const { page, grant } = await reader();
  page.answers.push(stream('{"id":"a"}\n'), stream('{"id":"a"}\n{"id":"b"'), list('abc'));
  assert.deepEqual(await read(grant.messages()), { ids: 'abc' });
});

test('what is no list in the middle of one', async () => {
  for (const line of ['<html>504 of somebody between', 'null', '7', '[]', '""', '']) {
    const { page, grant } = await reader();
    page.answers.push(stream(`{"id":"a"}\n${line}\n`), list('ab'));
    assert.deepEqual(await read(grant.messages()), { ids: 'ab' });
    assert.equal(page.requests.length, 2);
  }
});

test('what is no list at all', async () => {
  for (const answer of [json({ messages: [] }), json(null, 204), stream(), stream('null\n'), new Response('<!doctype html>'), new Response(null)]) {
    const { page, grant } = await reader();
    page.answers.push(answer);
    const { ids, error } = await read(grant.messages());
    assert.equal(error.constructor.name, 'GmailGrantError');
    assert.equal(`${ids}|${error.reason}`, '|network');
  }
});

test('a list by another spelling of its type', async () => {
  const { page, grant } = await reader();
  page.answers.push(new Response('{"id":"a"}\n{}\n', { headers: { 'Content-Type': 'application/x-ndjson; charset=utf-8' } }));
  assert.deepEqual(await read(grant.messages()), { ids: 'a' });
});

test('a list without a cursor is not gone on with in the mailbox of somebody else', async () => {
  for (const [now, want] of [['1234', 'ab'], ['5678', 'a user_changed']]) {
    const page = new Page();
    const grant = await page.grant({ way: 'cookie' });
    page.answers.push(json(account), cutList('a'), json({ ...account, user: { sub: now } }), list('ab'));
    await grant.who();
    const { ids, error } = await read(grant.messages());
    assert.equal([ids, ...error ? [error.reason] : []].join(' '), want);
  }
});

test('a list in vain ends with its cursor', async () => {
  const { page, grant } = await reader();
  page.answers.push(
    list('ab', { nextPageToken: 'p1', incomplete: { reason: 'deadline' } }),
    cutList('c'),
    new TypeError('offline'),
    problem('rate_limited', 429, {}, { 'Retry-After': '7' }),
    cutList('c'),
    list('never asked for'),
  );
  const { ids, error } = await read(grant.messages());
  assert.equal(ids, 'abc');
  assert.equal(`${error.reason} ${error.pageToken}`, 'network p1');
  assert.deepEqual(page.waits, [1, 1, 2, 7]);
  assert.equal(page.answers.length, 1);
});

test('progress gives patience back', async () => {
  const { page, grant } = await reader();
  const vain = () => cutList('');
  page.answers.push(cutList('a'), vain(), vain(), cutList('ab'), vain(), vain(), list('abc'));
  assert.deepEqual(await read(grant.messages()), { ids: 'abc' });
});

test('what fails at once is told at once', async () => {
  for (const [answer, reason] of [
    [problem('rate_limited', 429, {}, { 'Retry-After': '5' }), 'rate_limited'],
    [new TypeError('offline'), 'network'],
    [cutList(''), 'network'],
    [problem('gmail_disabled', 503), 'gmail_disabled'],
  ]) {
    const { page, grant } = await reader();
    page.answers.push(answer);
    const { ids, error } = await read(grant.messages({ pageToken: 'p' }));
    assert.equal(`${ids}|${error.reason}|${error.pageToken}`, `|${reason}|p`);
    assert.equal(page.requests.length, 1);
    assert.deepEqual(page.waits, []);
  }
});

test('nobody waits longer than a minute', async () => {
  const { page, grant } = await reader();
  page.answers.push(list('a', { nextPageToken: 'p', incomplete: { reason: 'rate_limited', retry_after: 61 } }));
  const { ids, error } = await read(grant.messages());
  assert.equal(ids, 'a');
  assert.equal(`${error.reason} ${error.retryAfter} ${error.pageToken} ${error.authorizationUrl}`, 'rate_limited 61 p undefined');
  assert.deepEqual(page.waits, []);
});

test('revoked while listing', async () => {
  const { page, grant } = await reader();
  page.answers.push(list('a', { nextPageToken: 'p', incomplete: { reason: 'revoked' } }));
  const { ids, error } = await read(grant.messages());
  assert.equal(`${ids} ${error.reason} ${error.pageToken}`, 'a revoked p');
  assert.equal(error.authorizationUrl, 'https://functions.example/authurl?prompt=consent');
  assert.deepEqual(page.left, []);
});

test('a failure further on that does not pass', async () => {
  const { page, grant } = await reader();
  page.answers.push(list('a', { nextPageToken: 'p', incomplete: { reason: 'deadline' } }), problem('domain_policy', 403));
  const { ids, error } = await read(grant.messages());
  assert.equal(`${ids} ${error.reason} ${error.pageToken}`, 'a domain_policy p');
});

test('who stops reading stops the stream', async () => {
  const { page, grant } = await reader();
  let cancelled = false;
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new TextEncoder().encode('{"id":"a"}\n')),
    cancel: () => { cancelled = true; },
  });
  page.answers.push(new Response(body, { headers: { 'Content-Type': 'application/x-ndjson' } }));
  for await (const message of grant.messages()) {
    assert.equal(message.id, 'a');
    break;
  }
  await new Promise(setImmediate);
  assert.equal(cancelled, true);
});

test('aborted: before it begins, among lines that are there, while it waits', async () => {
  const begun = async () => {
    const { page, grant } = await reader();
    const abort = new AbortController();
    page.answers.push(list('abc', { nextPageToken: 'p', incomplete: { reason: 'rate_limited', retry_after: 30 } }), list('d'));
    return { page, grant, abort };
  };
  const before = await begun();
  before.abort.abort();
  assert.equal((await read(before.grant.messages({}, before.abort))).error.name, 'AbortError');

  const among = await begun();
  let ids = '';
  await assert.rejects(async () => {
    for await (const { id } of among.grant.messages({}, among.abort)) {
      ids += id;
      if (id === 'b') among.abort.abort();
    }
  }, { name: 'AbortError' });
  assert.equal(ids, 'ab');

  const waiting = await begun();
  waiting.page.timeStandsStill = true;
  const onProgress = ({ pause }) => pause && setImmediate(() => waiting.abort.abort());
  const result = await read(waiting.grant.messages({}, { signal: waiting.abort.signal, onProgress }));
  assert.equal(`${result.ids} ${result.error.name}`, 'abc AbortError');
  assert.equal(waiting.page.requests.length, 1);
  assert.equal(waiting.page.timers.size, 0);
});

test('aborted by whoever is told that it waits', async () => {
  const { page, grant } = await reader();
  const abort = new AbortController();
  page.timeStandsStill = true;
  page.answers.push(list('a', { nextPageToken: 'p', incomplete: { reason: 'rate_limited', retry_after: 60 } }));
  const onProgress = ({ pause }) => pause && abort.abort();
  const { ids, error } = await read(grant.messages({}, { signal: abort.signal, onProgress }));
  assert.equal(`${ids} ${error.name}`, 'a AbortError');
});

test('a pause leaves nothing behind at the signal', async () => {
  const { page, grant } = await reader();
  const { signal } = new AbortController();
  page.answers.push(list('a', { nextPageToken: 'p', incomplete: { reason: 'deadline' } }), list('b'));
  assert.deepEqual(await read(grant.messages({}, { signal })), { ids: 'ab' });
  assert.equal(page.waits.length, 1);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('aborted while the connection is silent', async () => {
  const { page, grant } = await reader();
  const abort = new AbortController();
  page.answers.push(({ signal }) => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"id":"a"}\n'));
        signal.addEventListener('abort', () => controller.error(signal.reason));
      },
    });
    return new Response(body, { headers: { 'Content-Type': 'application/x-ndjson' } });
  });
  const onProgress = () => setImmediate(() => abort.abort());
  const { ids, error } = await read(grant.messages({}, { signal: abort.signal, onProgress }));
  assert.equal(`${ids} ${error.name}`, 'a AbortError');
  assert.equal(page.requests.length, 1);
});

test('one message', async () => {
  const { page, grant } = await reader();
  page.answers.push(list('m'), list(''), list('', { incomplete: { reason: 'rate_limited', retry_after: 3 } }));
  assert.equal((await grant.message('m')).id, 'm');
  assert.deepEqual([...page.requests[0].url.searchParams], [['id', 'm'], ['format', 'full']]);
  assert.equal(await grant.message('gone', { format: 'raw' }), null);
  await assert.rejects(grant.message('m'), { reason: 'rate_limited', retryAfter: 3 });
});

test('several messages by their IDs', async () => {
  const { page, grant } = await reader();
  page.answers.push(list('ab', { incomplete: { reason: 'deadline' } }), list('abc'));
  assert.deepEqual(await read(grant.messages({ id: ['a', 'b', 'c'], format: 'minimal' })), { ids: 'abc' });
  assert.equal(page.requests[1].url.search, '?id=a&id=b&id=c&format=minimal');
});

// Failures

test('errors have what the functions say', async () => {
  const { page, grant } = await reader();
  page.answers.push(problem('missing_scope', 403, {
    authorization_url: 'https://functions.example/authurl?prompt=consent',
    missing_scopes: ['mail'],
    request_id: 'R1',
  }), problem('upstream_unavailable', 503, {}, { 'Retry-After': '10' }));
  await assert.rejects(grant.who(), {
    message: 'About missing_scope.',
    reason: 'missing_scope',
    status: 403,
    authorizationUrl: 'https://functions.example/authurl?prompt=consent',
    missingScopes: ['mail'],
    requestId: 'R1',
  });
  await assert.rejects(grant.who(), { reason: 'upstream_unavailable', retryAfter: 10 });
});

test('no answer of the functions', async () => {
  for (const [answer, status] of [
    [new TypeError('offline'), undefined],
    [new Response('<h1>Bad gateway</h1>', { status: 502 }), undefined],
    [new Response('<!doctype html>'), undefined], // a rewrite that leads to the app itself
    [new Response('{"user":'), undefined],
    [new Response(''), undefined],
    [json(null, 204), undefined],
    [new Response('null'), undefined],
    [json({ status: 'up' }), undefined],
    [new Response('null', { status: 502 }), 502],
    [json({ message: 'of a gateway' }, 504), 504],
  ]) {
    const { page, grant } = await reader();
    page.answers.push(answer);
    await assert.rejects(grant.who(), { reason: 'network', status });
  }
});

// The way out

test('sign out', async () => {
  const { page, grant } = await reader();
  await grant.signOut();
  assert.deepEqual(page.requests, []);
  assert.equal(await grant.who(), null);

  const cookie = new Page();
  cookie.answers.push(json(null, 204));
  await (await cookie.grant({ way: 'cookie' })).signOut();
  assert.equal(`${cookie.requests[0].method} ${cookie.requests[0].url}`, 'DELETE https://functions.example/callback');
});

test('who signs out while a code is traded is signed out', async () => {
  const page = await new Page().signedIn();
  const grant = await page.grant();
  await grant.signOut();
  assert.equal((await grant.returned).mine, true);
  assert.equal(await grant.who(), null);
});

test('no answer to a disconnect: the session stays', async () => {
  for (const answer of [new Response('<!doctype html>'), new TypeError('offline')]) {
    const { page, grant } = await reader();
    page.answers.push(answer, json(account));
    await assert.rejects(grant.disconnect(), { reason: 'network' });
    assert.notEqual(await grant.who(), null);
  }
});

test('disconnect', async () => {
  for (const [answer, want] of [[json({ revoked: true }), true], [json({ revoked: false }), false], [json(null, 204), true]]) {
    const { page, grant } = await reader();
    page.answers.push(answer);
    assert.equal(await grant.disconnect(), want);
    assert.equal(`${page.requests[0].method} ${page.requests[0].url}`, 'DELETE https://functions.example/callback?grant=revoke');
    assert.equal(await grant.who(), null);
  }
});

// Renewal

const ended = (reason = 'session_expired') => problem(reason, 401, { authorization_url: 'https://functions.example/authurl' });

test('a session that ends is renewed by a redirect', async () => {
  for (const reason of ['session_expired', 'no_session']) {
    const { page, grant } = await reader();
    page.url = new URL('https://app.example/inbox?folder=2#m7');
    page.answers.push(ended(reason));
    await assert.rejects(grant.message('m'), { reason }); // should the page still be there
    assert.deepEqual(page.left.map(({ how }) => how), ['replace']);
    assert.equal(page.departure().get('login_hint'), '1234');
    assert.equal(page.departure().get('return_to'), 'https://app.example/');
    assert.equal(page.departure().get('prompt'), null);

    const back = page.goTo(page.address('/', { code: 'c', state: page.departure().get('state') }));
    back.answers.push(json({ ...account, session: 'another' }), json(account));
    const again = await back.grant();
    assert.equal((await again.returned).error, undefined);
    assert.deepEqual(back.left, [{ how: 'replace', url: 'https://app.example/inbox?folder=2#m7' }]);
    await again.who();
    assert.equal(back.requests[1].headers.Authorization, 'Bearer another');
  }
});

test('no call begins on a page that is about to be left for the one before', async () => {
  const { page, grant } = await reader();
  page.url = new URL('https://app.example/inbox');
  page.answers.push(ended());
  await assert.rejects(grant.message('m'));
  const back = page.goTo(page.address('/', { code: 'c', state: page.departure().get('state') }));
  back.timeStandsStill = true;
  back.answers.push(json(account), json(account));
  (await back.grant()).who();
  while (back.left.length === 0) await new Promise(setImmediate);
  await new Promise(setImmediate);
  assert.equal(back.requests.length, 1);
});

test('an answer that comes late does not end the session that came meanwhile', async () => {
  const { page, grant } = await reader();
  page.answers.push(
    async () => {
      await grant.usePopupCode('4/0A');
      return ended();
    },
    json({ ...account, session: 'another' }),
    json(account),
  );
  await assert.rejects(grant.message('m'));
  assert.deepEqual(page.left, []);
  await grant.who();
  assert.equal(page.requests.at(-1).headers.Authorization, 'Bearer another');
});

test('a renewal that fails is told where it began', async () => {
  for (const [end, answers, want] of [
    [{ error: 'upstream_unavailable' }, [], 'upstream_unavailable'],
    [{ code: 'c' }, [problem('upstream_unavailable', 503)], 'upstream_unavailable'],
    [{ error: 'missing_scope', missing_scopes: 'mail' }, [], 'missing_scope mail'],
  ]) {
    const { page, grant } = await reader();
    page.url = new URL('https://app.example/inbox?folder=2#m7');
    page.answers.push(ended());
    await assert.rejects(grant.message('m'));
    const back = page.goTo(page.address('/', { ...end, state: page.departure().get('state') }));
    back.answers.push(...answers);
    await (await back.grant()).returned;
    assert.deepEqual(back.left, [{ how: 'replace', url: 'https://app.example/inbox?folder=2#m7' }]);

    const there = back.goTo(back.left[0].url);
    const { mine, error } = await (await there.grant()).returned;
    assert.equal(mine, true);
    assert.equal([error.reason, ...error.missingScopes].join(' '), want);
    assert.deepEqual(there.left, []);
    assert.equal(await (await there.goTo(there.url).grant()).returned, null); // told once
  }
});

test('a renewal that brings somebody else is told, and leads to no place of the one before', async () => {
  const { page, grant } = await reader();
  page.url = new URL('https://app.example/inbox#m7');
  page.answers.push(ended());
  await assert.rejects(grant.message('m'));
  const back = page.goTo(page.address('/', { code: 'c', state: page.departure().get('state') }));
  const ben = { ...account, user: { sub: '5678' } };
  back.answers.push(json(ben), json(ben));
  const again = await back.grant();
  const { mine, error } = await again.returned;
  assert.equal(`${mine} ${error.reason}`, 'true user_changed');
  assert.deepEqual(back.left, []);
  assert.equal((await again.who()).user.sub, '5678');
});

test('a place that only the hash tells needs no other page', async () => {
  const { page, grant } = await reader();
  page.url = new URL('https://app.example/#m7');
  page.answers.push(ended());
  await assert.rejects(grant.message('m'));
  const back = page.goTo(page.address('/', { code: 'c', state: page.departure().get('state') }));
  back.timeStandsStill = true; // nothing waits for it
  back.answers.push(json(account), json(account));
  await (await back.grant()).who();
  assert.deepEqual(back.left, [{ how: 'replace', url: 'https://app.example/#m7' }]);
});

test('a page that is back at once where it was stays', async () => {
  const { page, grant } = await reader();
  page.answers.push(ended());
  await assert.rejects(grant.message('m'));
  const back = page.goTo(page.address('/', { code: 'c', state: page.departure().get('state') }));
  back.answers.push(json(account));
  await (await back.grant()).returned;
  assert.deepEqual(back.left, []);
});

test('calls at the same time leave once, and none fails before the page is gone', async () => {
  const { page, grant } = await reader();
  page.timeStandsStill = true;
  page.answers.push(ended(), ended());
  let failed = 0;
  for (const call of [grant.message('a'), grant.message('b')]) call.catch(() => failed++);
  while (page.left.length === 0) await new Promise(setImmediate);
  grant.message('c').catch(() => failed++);
  await new Promise(setImmediate);
  assert.deepEqual([page.left.length, page.requests.length, failed], [1, 2, 0]);
});

test('no renewal in circles', async (t) => {
  let now = Date.now();
  t.mock.method(Date, 'now', () => now);
  const { page, grant } = await reader();
  page.answers.push(ended());
  await assert.rejects(grant.message('m'));

  const back = page.goTo(page.address('/', { code: 'c', state: page.departure().get('state') }));
  back.answers.push(json(account), ended());
  const again = await back.grant();
  now += 59_999;
  await assert.rejects(again.message('m'), { authorizationUrl: 'https://functions.example/authurl' });
  assert.deepEqual(back.left, []);
  assert.equal(await again.who(), null); // the session is forgotten

  const later = await back.signedIn();
  later.answers.push(ended());
  const third = await later.grant();
  now += 1;
  await assert.rejects(third.message('m'));
  assert.equal(later.left.length, 1);
});

test('what needs the user is not renewed', async () => {
  for (const [options, answer, call] of [
    [{}, ended('revoked'), (grant) => grant.message('m')],
    [{}, ended('not_connected'), (grant) => grant.message('m')],
    [{ renew: false }, ended(), (grant) => grant.message('m')],
    [{}, ended(), (grant) => grant.disconnect()],
  ]) {
    const { page, grant } = await reader(options);
    page.answers.push(answer);
    await assert.rejects(call(grant), { status: 401 });
    assert.deepEqual(page.left, []);
    assert.equal(await grant.who(), null);
  }
  const page = new Page();
  const back = await page.returnedFrom(await page.grant(), { error: 'access_denied' });
  await assert.rejects((await back.grant()).message('m'), { reason: 'no_session' });
  assert.deepEqual(back.left, []);
});

test('in the cookie way nothing is renewed', async () => {
  const page = new Page();
  page.answers.push(ended());
  await assert.rejects((await page.grant({ way: 'cookie' })).message('m'), { reason: 'session_expired' });
  assert.deepEqual(page.left, []);
});
