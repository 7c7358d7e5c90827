/** The list of messages on the page: rows appear as lines arrive. */

import { button, byID, code, element } from './dom.js';
import * as mail from './mail.js';
import { countInWords, cutList, dateInShort, incompleteList, retryInWords } from './sentences.js';

const pageSize = 50;
const details = { format: 'metadata', metadataHeaders: ['From', 'Subject', 'Date'] };

export class MessageList {
  #functions;
  #on; // {open(message), goOn(), reconnect()}: what its buttons do
  #search = {}; // parameters of the list shown
  #cursor; // where it goes on
  #shown = new Set(); // IDs of its messages on the page
  #request = null; // AbortController of the request under way

  constructor(functions, on) {
    this.#functions = functions;
    this.#on = on;
  }

  get cursor() {
    return this.#cursor;
  }

  /** Ends the request under way and shows nothing. */
  clear() {
    this.#request?.abort();
    this.#empty();
    byID('count').textContent = '';
  }

  /**
   * Replaces the list, but not before there is something to show; one that failed is
   * no list. `through` may change the lines on their way.
   */
  async start(search, { maxResults = pageSize, through } = {}) {
    this.#search = search;
    try {
      await this.#read({ maxResults }, { fresh: true, through });
    } catch (error) {
      if (error.name !== 'AbortError') this.clear();
      throw error;
    }
  }

  /** Shows what follows or, of a stream that was cut, what is not there yet. */
  async goOn() {
    if (this.#request) return;
    const last = byID('rows').lastElementChild;
    const hadFocus = byID('list-end').contains(document.activeElement);
    await this.#read({ maxResults: pageSize, pageToken: this.#cursor });
    if (!hadFocus || document.activeElement !== document.body) return;
    const firstNew = last?.nextElementSibling?.querySelector('button');
    (firstNew ?? byID('count')).focus({ preventScroll: true });
  }

  /** Reads an answer to its end; a newer request ends an older one. */
  async #read(place, { fresh = false, through = (lines) => lines } = {}) {
    this.#request?.abort();
    const mine = this.#request = new AbortController();
    const lines = this.#functions.listLines({ ...this.#search, ...details, ...place }, mine);
    let stale = fresh; // what is on the page belongs to another list
    let received = 0;
    let ending = null;
    showProgress(received, place.maxResults);
    try {
      for await (const line of through(lines)) {
        mine.signal.throwIfAborted();
        if (stale) this.#empty();
        stale = false;
        if ('id' in line) {
          this.#add(line);
          showProgress(++received, place.maxResults);
        } else {
          ending = line;
        }
      }
      if (stale) this.#empty();
      this.#end(ending, place.pageToken);
    } finally {
      if (this.#request === mine) {
        this.#request = null;
        hideProgress();
      }
    }
  }

  #empty() {
    this.#cursor = undefined;
    this.#shown.clear();
    byID('rows').replaceChildren();
    byID('count').textContent = 'Listing…';
    byID('list-end').replaceChildren();
  }

  #add(message) {
    if (this.#shown.has(message.id)) return;
    this.#shown.add(message.id);
    byID('rows').append(row(message, () => this.#on.open(message)));
  }

  /** `ending` is null when the stream was cut; then the list goes on where this answer began. */
  #end(ending, pageToken) {
    this.#cursor = ending ? ending.nextPageToken : pageToken;
    byID('count').textContent = countInWords(this.#shown.size, !ending || Boolean(this.#cursor));
    byID('list-end').replaceChildren(...this.#wayOn(ending));
  }

  #wayOn(ending) {
    if (!ending) return [warning([cutList], button('Go on', this.#on.goOn, 'primary'))];
    if (ending.incomplete) return [this.#incomplete(ending.incomplete)];
    return this.#cursor ? [button('Load more', this.#on.goOn)] : [];
  }

  #incomplete({ reason, retry_after: retryAfter }) {
    const sentence = [incompleteList(reason), retryInWords(retryAfter), ' ', code(reason)];
    if (reason === 'revoked') return warning(sentence, button('Connect again', this.#on.reconnect, 'primary'));
    return this.#cursor ? warning(sentence, button('Continue', this.#on.goOn, 'primary')) : warning(sentence);
  }
}

function showProgress(received, most) {
  byID('rows').ariaBusy = 'true';
  byID('progress').hidden = false;
  byID('progress-bar').max = most;
  byID('progress-bar').value = received;
  byID('progress-count').textContent = received.toLocaleString();
}

function hideProgress() {
  byID('rows').ariaBusy = 'false';
  byID('progress').hidden = true;
}

function warning(sentence, ...actions) {
  return element('div', { className: 'notice warn' }, element('p', {}, ...sentence), ...actions);
}

function row(message, open) {
  if (message.too_large) return missing('This message is too large to be listed.');
  if (message.unavailable) return missing('Gmail could not give this message.', button('Try to open it', open, 'link'));
  return element('li', { className: mail.isUnread(message) ? 'message unread' : 'message' },
    element('span', { className: 'sender', dir: 'auto', textContent: mail.sender(message) || '(no sender)' }),
    time(mail.date(message)),
    element('span', { className: 'subject' },
      element('button', { type: 'button', dir: 'auto', onclick: open },
        ...(mail.isUnread(message) ? [element('span', { className: 'for-ears', textContent: 'Unread: ' })] : []),
        element('bdi', { textContent: mail.subject(message) }))),
    element('span', { className: 'snippet', dir: 'auto', textContent: mail.snippet(message) }));
}

function missing(sentence, ...actions) {
  return element('li', { className: 'message missing' }, element('span', { textContent: sentence }), ...actions);
}

function time(date) {
  return date ? element('time', { dateTime: date.toISOString(), textContent: dateInShort(date) }) : element('span');
}
