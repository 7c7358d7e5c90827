import assert from 'node:assert/strict';
import test from 'node:test';

import * as mail from '../page/mail.js';
import { incompleteList, problemSentence, signInSentence } from '../page/sentences.js';

const base64url = (bytes) => Buffer.from(bytes).toString('base64url');
const latin1 = (text) => Buffer.from(text, 'latin1');

// What users meet has a sentence of the page's own: that of the functions is for
// developers. The reasons are those of the contract, and the module's.

const forDevelopers = 'Sign in by following authorization_url.';

test('a sentence for each failure', () => {
  for (const reason of [
    'domain_policy', 'gmail_disabled', 'internal', 'misconfigured', 'missing_scope', 'network', 'no_session', 'no_storage',
    'not_connected', 'rate_limited', 'revoked', 'session_expired', 'upstream_unavailable', 'user_changed',
  ]) assert.match(problemSentence({ reason, message: forDevelopers }), /^[A-Z](?!.*(_|Retry-After)).*[.]$/, reason);
  assert.equal(problemSentence({ reason: 'invalid_request', message: 'q is empty.' }), 'q is empty.');
});

test('a sentence for each sign-in that failed', () => {
  const any = signInSentence({ reason: 'no such reason' });
  for (const reason of [
    'access_denied', 'code_exchange_failed', 'domain_policy', 'internal', 'invalid_request', 'misconfigured', 'missing_scope', 'network',
    'no_refresh_token', 'no_storage', 'no_user_id', 'popup_closed', 'popup_failed_to_load', 'popup_failed_to_open', 'state_expired',
    'upstream_unavailable', 'user_changed',
  ]) {
    const sentence = signInSentence({ reason, message: forDevelopers });
    assert.match(sentence, /^[A-Z](?!.*_).*[.]$/);
    assert.notEqual(sentence, any, reason);
  }
});

test('a sentence for each list that ends early', () => {
  const any = incompleteList('no such reason');
  for (const reason of ['deadline', 'response_size', 'rate_limited', 'upstream_unavailable', 'revoked', 'network', 'user_changed']) {
    assert.notEqual(incompleteList(reason), any, reason);
  }
});

test('encoded words', () => {
  for (const [encoded, want] of [
    ['plain', 'plain'],
    ['=?utf-8?q?Caf=C3=A9_near?=', 'Café near'],
    ['=?UTF-8?B?R3LDvMOfZQ==?=', 'Grüße'],
    ['=?iso-8859-1?Q?Gr=FC=DFe?=', 'Grüße'],
    ['=?utf-8?q?one?= =?utf-8?q?_two?= three', 'one two three'],
    ['=?utf-8?q?a?=\r\n =?utf-8?b?Yg==?=', 'ab'],
    ['=?utf-8*en?q?tagged?=', 'tagged'],
    ['=?no-such-charset?q?stays?=', '=?no-such-charset?q?stays?='],
    ['=?utf-8?b?%%%?=', '=?utf-8?b?%%%?='],
    ['2 =?= 2', '2 =?= 2'],
  ]) assert.equal(mail.decodeWords(encoded), want);
});

test('names in addresses', () => {
  for (const [from, want] of [
    ['Zoë van Dijk <zoe@example.org>', 'Zoë van Dijk'],
    ['"Byrne, Aoife" <aoife@example.org>', 'Byrne, Aoife'],
    ['"The \\"Boss\\"" <boss@example.org>', 'The "Boss"'],
    ['=?utf-8?q?Tom=C3=A1s=2C_H.?= <tomas@example.org>', 'Tomás, H.'],
    ['<bare@example.org>', 'bare@example.org'],
    ['bare@example.org', 'bare@example.org'],
    ['  Ada   <ada@example.org> (at home)', 'Ada'],
    ['"1 < 2" <sums@example.org>', '1 < 2'],
    ['"unfinished <a@example.org>', '"unfinished'],
    ['', ''],
  ]) assert.equal(mail.displayName(from), want);
});

test('a name that takes no time, whatever it is', () => { // or this would not end
  for (const one of [' ', '"', '\\"', '<', '" <']) assert.equal(typeof mail.displayName(one.repeat(50_000)), 'string');
});

test('text of bytes', () => {
  for (const [bytes, charset, want] of [
    [Buffer.from('Grüße'), 'utf-8', 'Grüße'],
    [Buffer.from('Grüße'), 'iso-8859-1', 'Grüße'],
    [latin1('Grüße'), 'iso-8859-1', 'Grüße'],
    [latin1('Grüße'), 'no-such-charset', 'Gr\ufffd\ufffde'],
    [latin1('\x1b$B$"\x1b(B'), 'iso-2022-jp', 'あ'],
  ]) assert.equal(mail.decodeText(bytes, charset), want);
});

test('a message', () => {
  const message = {
    labelIds: ['INBOX', 'UNREAD'],
    snippet: 'It&#39;s 1 &lt; 2 &amp; that &amp;lt;',
    internalDate: '1700000000000',
    payload: {
      mimeType: 'multipart/mixed',
      headers: [{ name: 'from', value: 'Ada <ada@example.com>' }, { name: 'SUBJECT', value: 'Hello' }],
      parts: [
        {
          mimeType: 'multipart/alternative',
          parts: [
            { mimeType: 'text/plain', filename: '', headers: [{ name: 'Content-Type', value: 'text/plain; charset="ISO-8859-1"' }], body: { data: base64url(latin1('Grüße??>')) } },
            { mimeType: 'text/html', filename: '', body: { data: base64url('<b>not this</b>') } },
          ],
        },
        { mimeType: 'text/plain', filename: '=?utf-8?q?n=C3=B6tes.txt?=', body: { attachmentId: 'x', size: 831 } },
      ],
    },
  };
  assert.equal(mail.sender(message), 'Ada');
  assert.equal(mail.subject(message), 'Hello');
  assert.equal(mail.isUnread(message), true);
  assert.equal(mail.snippet(message), "It's 1 < 2 & that &lt;");
  assert.equal(mail.date(message).getTime(), 1700000000000);
  assert.deepEqual(mail.content(message), { text: 'Grüße??>', fromHTML: false });
  assert.deepEqual(mail.attachments(message), [{ name: 'nötes.txt', size: 831 }]);
});

test('a message with nothing in it', () => {
  const message = { id: '1' };
  assert.equal(mail.sender(message), '');
  assert.equal(mail.subject(message), '(no subject)');
  assert.equal(mail.isUnread(message), false);
  assert.equal(mail.snippet(message), '');
  assert.equal(mail.date(message), null);
  assert.deepEqual(mail.content(message), { text: '', fromHTML: false });
  assert.deepEqual(mail.attachments(message), []);
});
