/** The list of messages on the page: rows appear as messages arrive. */

import { button, byID, code, element } from './dom.js';
import { GmailGrantError } from './gmailgrant.js';
import * as mail from './mail.js';
import { countInWords, dateInShort, incompleteList, pauseInWords, retryInWords } from './sentences.js';

const pageSize = 50;
const details = { format: 'metadata', metadataHeaders: ['From', 'Subject', 'Date'] };

export class MessageList {
  #gmail; // () => GmailGrant
  #on; // {open(message), goOn(), reconnect(error)}: what its buttons do
  #search = {}; // parameters of the list shown
  #cursor; // where it goes on
  #shown = new Set(); // IDs of its messages on the page
  #request = null; // AbortController of the request under way

  constructor(gmail, on) {
    this.#gmail = gmail;
    this.#on = on;
  }

  /** Ends the request under way and shows nothing. */
  clear() {
    this.#request?.abort();
    this.#empty();
    byID('count').textContent = '';
  }

  /**
   * Replaces the list, but not before there is something to show; one that failed is
   * no list.
   */
  async start(search, { maxResults = pageSize } = {}) {
    this.#search = search;
    try {
      await this.#read({ maxResults }, true);
    } catch (error) {
      if (error.name !== 'AbortError') this.clear();
      throw error;
    }
  }

  /** Shows what follows, or what is not there yet of a list that could not go on. */
  async goOn() {
    if (this.#request) return;
    const last = byID('rows').lastElementChild;
    const hadFocus = byID('list-end').contains(document.activeElement);
    await this.#read({ maxResults: pageSize, pageToken: this.#cursor });
    if (!hadFocus || document.activeElement !== document.body) return;
    const firstNew = last?.nextElementSibling?.querySelector('button');
    (firstNew ?? byID('count')).focus({ preventScroll: true });
  }

  /**
   * Reads a list to its end, or as far as it can be had; a newer one ends an older one.
   * Until something arrives of a fresh list, what is on the page belongs to another.
   */
  async #read(place, fresh = false) {
    this.#request?.abort();
    const mine = this.#request = new AbortController();
    let stale = fresh;
    let progress = { received: 0 };
    const onProgress = (now) => {
      progress = now;
      showProgress(now, place.maxResults);
    };
    showProgress(progress, place.maxResults);
    try {
      const query = { ...this.#search, ...details, ...place };
      for await (const message of this.#gmail().messages(query, { signal: mine.signal, onProgress })) {
        if (stale) this.#empty();
        stale = false;
        this.#add(message);
      }
      if (stale) this.#empty();
      this.#end(progress.pageToken);
    } catch (error) {
      if (stale || !(error instanceof GmailGrantError)) throw error;
      this.#end(error.pageToken, error);
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
    hideEnd();
  }

  #add(message) {
    if (this.#shown.has(message.id)) return;
    this.#shown.add(message.id);
    byID('rows').append(row(message, () => this.#on.open(message)));
  }

  /** Says how much there is and offers the way on; `error` is why the list stopped early. */
  #end(cursor, error) {
    this.#cursor = cursor;
    byID('count').textContent = countInWords(this.#shown.size, Boolean(error || cursor));
    hideEnd();
    byID('way-on').append(...this.#wayOn(error));
    if (!error) return;
    byID('list-end').className = 'notice warn';
    byID('shortfall').append(incompleteList(error.reason), retryInWords(error.retryAfter), ' ', code(error.reason));
  }

  #wayOn(error) {
    if (error?.authorizationUrl) return [button('Connect again', () => this.#on.reconnect(error), 'primary')];
    if (error) return [button('Continue', this.#on.goOn, 'primary')];
    return this.#cursor ? [button('Load more', this.#on.goOn)] : [];
  }
}

function hideEnd() {
  byID('list-end').className = '';
  byID('shortfall').replaceChildren();
  byID('way-on').replaceChildren();
}

function showProgress({ received, pause }, most) {
  byID('rows').ariaBusy = 'true';
  byID('progress').hidden = false;
  byID('progress-bar').max = most;
  byID('progress-bar').value = received;
  byID('progress-count').textContent = received.toLocaleString();
  showPause(pause);
}

function hideProgress() {
  byID('rows').ariaBusy = 'false';
  byID('progress').hidden = true;
  showPause();
}

let counting; // down, of the pause that is shown

/** Says once that the list waits, and counts down for those who see it. */
function showPause(pause) {
  clearInterval(counting);
  const words = pause ? pauseInWords(pause) : '';
  byID('pause').textContent = words;
  byID('countdown').textContent = words;
  if (!pause) return;
  let { seconds } = pause;
  counting = setInterval(() => {
    seconds = Math.max(0, seconds - 1);
    byID('countdown').textContent = pauseInWords({ ...pause, seconds });
  }, 1000);
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
