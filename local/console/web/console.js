// The console's page: server-sent events in, rows out. Whatever comes from outside is put into the page by textContent
// alone, never as markup; the Content-Security-Policy would not let it be otherwise.

import { words } from './words.js';

const $ = (id) => document.getElementById(id);

// make returns an element with a class and a text.
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Language: what was chosen here before, else the browser's.

let language = navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
try {
  const chosen = localStorage.getItem('language');
  if (chosen in words) language = chosen;
} catch {
  // A browser that keeps nothing still has a language.
}

const t = (key) => words[language][key] ?? words.en[key] ?? key;

function speak(chosen) {
  language = chosen;
  document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en';
  document.title = t('title');
  for (const element of document.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll('[data-t-label]')) element.setAttribute('aria-label', t(element.dataset.tLabel));
  for (const button of document.querySelectorAll('[data-language]')) {
    button.setAttribute('aria-pressed', String(button.dataset.language === language));
  }
  for (const message of messages.values()) render(message);
  showStage();
  if (selected) open(selected);
}

for (const button of document.querySelectorAll('[data-language]')) {
  button.addEventListener('click', () => {
    speak(button.dataset.language);
    try {
      localStorage.setItem('language', language);
    } catch {
      // See above.
    }
  });
}

// Messages: rows in the order of their ids. A message that has changed is rendered anew in its place.

const messages = new Map(); // by id, with .row
let clearedTo = 0;
let selected = 0;
let stage = null;

const list = $('messages');
const scroller = $('scroller');

const pad = (n, width = 2) => String(n).padStart(width, '0');

function clock(at) {
  const d = new Date(at);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}.${pad(d.getMilliseconds(), 3)}`;
}

const marks = { verified: '✓', accepted: '✓', refused: '✕', unverified: '✕', failed: '!' };
const order = { vendor: 0, gateway: 1, queue: 2, wechatpay: 3 };

function chip(message) {
  const verdict = message.verdict || 'pending';
  const element = make('span', 'chip');
  element.dataset.verdict = verdict;
  if (marks[verdict]) {
    const mark = make('span', 'mark', marks[verdict]);
    mark.setAttribute('aria-hidden', 'true');
    element.append(mark, ' ');
  }
  element.append(t('verdict.' + verdict));
  if (message.reason) element.append(make('span', 'reason', message.reason));
  return element;
}

// title is what a message is, in words.
function title(message) {
  if (message.kind === 'answer') return message.line || t('noAnswer');
  return t('subject.' + message.subject);
}

const direction = (message) => t('arrow').replace('{from}', t('party.' + message.from)).replace('{to}', t('party.' + message.to));

const duration = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.max(1, Math.round(ms))} ms`);

function render(message) {
  const row = message.row;
  row.className = 'row ' + message.kind;
  if (message.kind === 'step') {
    row.replaceChildren(make('h3', '', words[language]['step.' + message.step] ?? message.title));
    return;
  }
  row.dataset.from = message.from;
  row.dataset.to = message.to;
  row.dataset.verdict = message.verdict || 'pending';
  row.dataset.subject = message.subject;
  row.dataset.direction = order[message.from] < order[message.to] ? 'right' : 'left';
  // The button stays when its message changes: it may have the focus.
  let button = row.firstElementChild;
  if (!button) {
    button = make('button', 'message');
    button.type = 'button';
    button.setAttribute('aria-controls', 'detail');
    button.tabIndex = -1;
    button.addEventListener('click', () => open(message.id, true));
    button.addEventListener('focus', () => rove(button));
    row.append(button);
  }
  button.setAttribute('aria-expanded', String(selected === message.id));
  const text = make('span', 'text');
  text.append(make('span', 'direction', direction(message)), ' ', make('b', '', title(message)));
  if (message.note) text.append(' ', make('span', 'note', message.note));
  if (message.kind === 'request' && message.function) text.append(' ', make('code', 'function', message.function));
  if (message.kind === 'answer') text.append(' ', make('span', 'took', duration(message.took_ms ?? 0)));
  text.append(' ', chip(message));
  const arrow = make('span', 'arrow');
  arrow.setAttribute('aria-hidden', 'true');
  button.replaceChildren(make('time', '', clock(message.at)), ' ', text, arrow);
}

function receive(message) {
  if (message.id <= clearedTo) return;
  const known = messages.get(message.id);
  if (known) {
    Object.assign(known, message);
    render(known);
    if (selected === message.id) open(selected);
    return;
  }
  const following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
  message.row = make('li');
  message.row.dataset.id = message.id;
  messages.set(message.id, message);
  render(message);
  // What comes late, or comes again in the order of its changes, finds its place.
  let after = list.lastElementChild;
  while (after && Number(after.dataset.id) > message.id) after = after.previousElementSibling;
  if (after) after.after(message.row);
  else list.prepend(message.row);
  if (message.kind !== 'step' && !list.querySelector('.message[tabindex="0"]')) message.row.firstElementChild.tabIndex = 0;
  // As many rows as the server keeps messages.
  while (messages.size > 2000) {
    const [oldest, { row }] = messages.entries().next().value;
    messages.delete(oldest);
    row.remove();
  }
  countUp();
  if (following) follow();
  else $('newest').hidden = false;
  if (message.function) blink(message.function);
  if (message.kind === 'answer') announce(message.id);
}

function countUp() {
  let said = 0;
  for (const message of messages.values()) if (message.kind !== 'step') said++;
  $('count').textContent = said;
  $('empty').hidden = messages.size > 0;
}

function follow() {
  scroller.scrollTop = scroller.scrollHeight;
  $('newest').hidden = true;
}

$('newest').addEventListener('click', () => {
  follow();
  list.querySelector('.row:last-child .message')?.focus();
});
scroller.addEventListener('scroll', () => {
  if (scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 8) $('newest').hidden = true;
});

$('clear').addEventListener('click', () => {
  clearedTo = Math.max(clearedTo, ...messages.keys());
  forget();
});

function forget() {
  messages.clear();
  list.replaceChildren();
  $('newest').hidden = true;
  close();
  countUp();
}

// One row is in the tab order at a time; the arrow keys go from row to row.

function rove(button) {
  for (const other of list.querySelectorAll('.message[tabindex="0"]')) other.tabIndex = -1;
  button.tabIndex = 0;
}

list.addEventListener('keydown', (event) => {
  const rows = [...list.querySelectorAll('.message')];
  const at = rows.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (at < 0 || to === undefined || !rows[to]) return;
  event.preventDefault();
  rows[to].focus();
  if (selected) rows[to].click();
});

// The latest answer is read out, at most once a second, and nothing of what was there before the page.

let announced = 0;
let announcing = 0;

function announce(id) {
  if (!stage) return;
  announced = id;
  if (announcing) return;
  announcing = setTimeout(() => {
    announcing = 0;
    const message = messages.get(announced);
    if (!message) return;
    const verdict = t('verdict.' + (message.verdict || 'pending'));
    $('announcer').textContent = [direction(message), title(message), verdict, message.reason].filter(Boolean).join(', ');
  }, 1000);
}

// Detail.

async function open(id, byHand) {
  const message = messages.get(id);
  if (!message) return;
  const before = selected;
  selected = id;
  for (const other of [before, id]) {
    const row = messages.get(other)?.row;
    row?.classList.toggle('selected', other === selected);
    row?.firstElementChild.setAttribute('aria-expanded', String(other === selected));
  }
  let detail = null;
  try {
    const response = await fetch('messages/' + id);
    if (response.ok) detail = await response.json();
  } catch {
    // The console has gone; the reader is told that the message has.
  }
  if (selected !== id) return;
  $('detail-title').textContent = `${title(message)}${message.note ? ' ' + message.note : ''}`;
  const other = counterpart(message);
  $('other').hidden = !other;
  if (other) $('other').textContent = t(message.kind === 'answer' ? 'toRequest' : 'toAnswer');
  $('detail-body').replaceChildren(...(detail ? sections(message, detail) : [make('p', '', t('detail.gone'))]));
  const hidden = $('detail').hidden;
  $('detail').hidden = false;
  document.body.classList.add('with-detail');
  if (hidden && byHand) {
    $('detail-body').scrollTop = 0;
    message.row.scrollIntoView({ block: 'nearest' });
  }
}

function counterpart(message) {
  for (const other of messages.values()) {
    if (other.exchange === message.exchange && other.id !== message.id && other.kind !== 'step') return other;
  }
  return null;
}

$('other').addEventListener('click', () => {
  const other = counterpart(messages.get(selected));
  if (!other) return;
  rove(other.row.firstElementChild);
  other.row.scrollIntoView({ block: 'nearest' });
  open(other.id);
});

function close() {
  const row = messages.get(selected)?.row;
  selected = 0;
  $('detail').hidden = true;
  document.body.classList.remove('with-detail');
  row?.classList.remove('selected');
  row?.firstElementChild.setAttribute('aria-expanded', 'false');
  return row;
}

function closeByHand() {
  close()?.firstElementChild.focus();
}

$('close').addEventListener('click', closeByHand);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && selected) closeByHand();
});

function sections(message, detail) {
  const all = [];
  const facts = make('dl', 'facts');
  const fact = (name, value) => {
    if (!value) return;
    const pair = make('div');
    const dd = make('dd');
    dd.append(value);
    pair.append(make('dt', '', t(name)), dd);
    facts.append(pair);
  };
  const way = make('span', 'way');
  way.append(t('party.' + detail.from), ' → ', t('party.' + detail.to));
  fact('detail.from', way);
  fact('detail.at', new Date(detail.at).toISOString());
  fact('detail.took', detail.took_ms ? duration(detail.took_ms) : '');
  fact('detail.function', detail.function);
  fact('detail.vendor', detail.vendor_id);
  fact('detail.verdict', chip(detail));
  all.push(facts);
  if (detail.line) all.push(make('pre', 'line', detail.line));

  if (detail.canonical) {
    all.push(make('h3', '', t('detail.canonical')));
    all.push(pre(detail.canonical.text, true));
    const about = make('dl', 'facts');
    for (const [name, value] of [['detail.scheme', detail.canonical.scheme], ['detail.signature', detail.canonical.signature]]) {
      const pair = make('div');
      const dd = make('dd');
      dd.append(make('code', 'long', value));
      pair.append(make('dt', '', t(name)), dd);
      about.append(pair);
    }
    all.push(about);
  }
  if (detail.decrypted) {
    all.push(make('h3', '', t('detail.decrypted')));
    all.push(pre(formatted(detail.decrypted) ?? detail.decrypted));
  }
  all.push(make('h3', '', t('detail.body')));
  if (detail.body) {
    all.push(pre(detail.body));
    const pretty = formatted(detail.body);
    if (pretty && pretty !== detail.body) {
      const more = make('details');
      more.open = true;
      more.append(make('summary', '', t('detail.formatted')), pre(pretty));
      all.push(more);
    }
    if (detail.cut) all.push(make('p', 'note', t('detail.cut')));
  } else {
    all.push(make('p', 'note', t('detail.noBody')));
  }
  if (detail.header?.length) {
    all.push(make('h3', '', t('detail.headers')));
    const headers = make('dl', 'headers');
    for (const { name, value } of detail.header) {
      const pair = make('div');
      pair.append(make('dt', '', name.toLowerCase()), make('dd', '', value));
      headers.append(pair);
    }
    all.push(headers);
  }
  return all;
}

// pre shows a text as it is; where line ends belong to what is signed, they are marked.
function pre(text, lineEnds) {
  const element = make('pre');
  if (!lineEnds) {
    element.textContent = text;
    return element;
  }
  const lines = text.split('\n');
  lines.forEach((line, i) => {
    element.append(line);
    if (i < lines.length - 1) {
      const end = make('span', 'end', '\\n');
      end.setAttribute('aria-hidden', 'true');
      element.append(end, '\n');
    }
  });
  return element;
}

function formatted(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}

// The stage: how the parties are, and the buttons.

function showStage() {
  if (!stage) return;
  for (const name of ['vendor', 'wechatpay']) {
    for (const radio of document.querySelectorAll(`input[name="${name}"]`)) radio.checked = radio.value === stage[name];
    document.querySelector('.card.' + name).dataset.state = stage[name];
  }
  $('waiting').textContent = stage.waiting < 0 ? '–' : stage.waiting;
  $('dead').textContent = stage.dead_letters < 0 ? '–' : stage.dead_letters;
  document.querySelector('.card.queue').dataset.dead = String(stage.dead_letters > 0);
  const blocked = stage.blocked?.includes($('plate').value) ?? false;
  $('plate-state').textContent = t(blocked ? 'plate.blocked' : 'plate.normal');
  $('plate-state').dataset.verdict = blocked ? 'refused' : 'accepted';
  for (const control of document.querySelectorAll('[data-action]')) control.setAttribute('aria-disabled', String(stage.playing));
}

$('plate').addEventListener('input', showStage);

async function act(name, control) {
  complain('');
  control?.setAttribute('aria-busy', 'true');
  try {
    const response = await fetch('actions/' + name, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ plate: $('plate').value }),
    });
    if (!response.ok) throw new Error(await response.text());
  } catch (problem) {
    complain(t('failedAction') + problem.message);
  } finally {
    control?.removeAttribute('aria-busy');
  }
}

function complain(text) {
  $('alert').textContent = text;
  $('alert').hidden = !text;
}

for (const button of document.querySelectorAll('[data-action]')) {
  button.addEventListener('click', () => {
    if (button.getAttribute('aria-disabled') !== 'true' && button.getAttribute('aria-busy') !== 'true') act(button.dataset.action, button);
  });
}
for (const radio of document.querySelectorAll('input[type="radio"]')) {
  radio.addEventListener('change', () => act(`${radio.name}-${radio.value}`));
}

function showFunctions(names) {
  $('functions').replaceChildren(
    ...names.map((name) => {
      const item = make('li', '', name);
      item.dataset.function = name;
      return item;
    }),
  );
}

function blink(name) {
  const item = document.querySelector(`[data-function="${CSS.escape(name)}"]`);
  if (!item || !stage) return;
  item.classList.add('busy');
  clearTimeout(item.blinking);
  item.blinking = setTimeout(() => item.classList.remove('busy'), 700);
}

// The stream. The browser opens it again by itself, and says which message it has seen last.

function connection(state) {
  $('connection').dataset.state = state;
  $('connection-text').dataset.t = state;
  $('connection-text').textContent = t(state);
}

speak(language);

const stream = new EventSource('stream');
stream.addEventListener('hello', (event) => {
  const hello = JSON.parse(event.data);
  if (!hello.resumed) {
    clearedTo = 0;
    forget();
  }
  $('gateway-address').textContent = hello.gateway;
  $('vendor-id').textContent = hello.vendor_id;
  $('reference').hidden = !hello.reference;
  showFunctions(hello.functions);
  connection('live');
});
stream.addEventListener('message', (event) => receive(JSON.parse(event.data)));
stream.addEventListener('state', (event) => {
  const first = !stage;
  stage = JSON.parse(event.data);
  showStage();
  if (first) follow();
});
stream.addEventListener('error', () => connection('lost'));
