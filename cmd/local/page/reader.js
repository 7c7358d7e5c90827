/** The dialog that shows one message. */

import { byID, element } from './dom.js';
import * as mail from './mail.js';
import { dateInFull, sizeInWords } from './sentences.js';

export class Reader {
  #gmail; // () => GmailGrant
  #isStillUser; // async () => boolean: the message is theirs
  #request = new AbortController();

  constructor(gmail, isStillUser) {
    this.#gmail = gmail;
    this.#isStillUser = isStillUser;
    // The event comes a frame late: the next message may be open by then.
    byID('reader').onclose = () => byID('reader').open || this.#request.abort();
  }

  close() {
    byID('reader').close();
  }

  /** Shows a message of the list, or closes again and rejects. */
  async open(listed) {
    this.#request.abort();
    const mine = this.#request = new AbortController();
    show(mail.subject(listed), element('p', { className: 'soft', textContent: 'Opening…' }));
    byID('reader').showModal();
    try {
      const message = await this.#gmail().message(listed.id, { signal: mine.signal });
      if (!message && !await this.#isStillUser()) return;
      show(mail.subject(message ?? listed), ...parts(message));
      byID('reader-content').focus();
    } catch (error) {
      if (this.#request === mine) this.close();
      throw error;
    }
  }
}

function show(title, ...nodes) {
  byID('reader-title').textContent = title;
  byID('reader-content').replaceChildren(...nodes);
}

function warning(sentence) {
  return element('p', { className: 'notice warn', textContent: sentence });
}

function parts(message) {
  if (!message) return [warning('This message has been deleted.')];
  if (message.too_large) return [warning(`This message is too large to be shown: ${sizeInWords(message.sizeEstimate)}.`)];
  if (message.unavailable) return [warning('Gmail could not give this message. Try again later.')];
  const { text, fromHTML } = mail.content(message);
  return [
    headers(message),
    ...attachments(mail.attachments(message)),
    ...(fromHTML ? [element('p', { className: 'soft', textContent: 'The message is HTML; this is the text in it.' })] : []),
    element('div', { className: 'text', dir: 'auto', textContent: text || '(no text)' }),
  ];
}

function headers(message) {
  const all = [
    ['From', mail.header(message, 'From')],
    ['To', mail.header(message, 'To')],
    ['Cc', mail.header(message, 'Cc')],
    ['Date', dateInFull(mail.date(message))],
  ];
  return element('dl', {}, ...all.filter(([, value]) => value).map(([name, value]) =>
    element('div', {}, element('dt', { textContent: name }), element('dd', { dir: 'auto', textContent: value }))));
}

function attachments(all) {
  if (all.length === 0) return [];
  const item = ({ name, size }) =>
    element('li', {}, element('bdi', { textContent: name }), ' ', element('span', { className: 'soft', textContent: sizeInWords(size) }));
  return [element('ul', { className: 'attachments', ariaLabel: 'Attachments' }, ...all.map(item))];
}
