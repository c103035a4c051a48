
(() => {
  'use strict';
  const data = JSON.parse(document.getElementById('data').textContent);
  const times = [];
  data.runs.reduce((at, step) => { times.push((at + step) * 60000); return at + step; }, 0);
  const day = at => new Date(at).toISOString().slice(0, 10);
  const minute = at => new Date(at).toISOString().slice(0, 16).replace('T', ' ');
  const make = (name, text, of) => {
    const one = document.createElement(name);
    if (text !== undefined) one.textContent = text;
    if (of) of.append(one);
    return one;
  };
  document.documentElement.classList.add('js');

  // What each run saw of a series: a text of tokens, see pack.rs.
  const unpack = packed => packed.split(',').flatMap(word => {
    const x = word.lastIndexOf('x');
    return x < 0 ? [word] : Array(+word.slice(x + 1)).fill(word.slice(0, x));
  });
  const WORDS = {
    n: 'not in depth', r: 'no results', m: 'the selector found nothing', u: 'not known', s: 'read', '': 'not looked at',
  };

  // Sorting. What has no value stays at the end, whichever way.
  const order = new Intl.Collator(undefined, { numeric: true });
  const key = cell => cell.dataset.v ?? cell.textContent.trim();
  const sort = (table, column, head, numbers) => {
    close(table);
    const was = head.getAttribute('aria-sort');
    const down = was ? was === 'ascending' : 'down' in head.dataset;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const rows = [...table.tBodies[0].rows].map(row => [key(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === '' || b === '') return (a === '') - (b === '');
      const by = numbers ? a - b : order.compare(a, b);
      return down ? -by : by;
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  const tables = [...document.querySelectorAll('table.sort')];
  for (const table of tables) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if ('no' in head.dataset) return;
      const button = make('button', head.textContent);
      button.type = 'button';
      head.replaceChildren(button);
      button.onclick = () => sort(table, column, head, head.classList.contains('r'));
    });
  }

  // Filtering.
  const filter = document.querySelector('.filter');
  const rows = [...document.querySelectorAll('tr[data-i]')];
  if (filter && rows.length > 5) {
    filter.hidden = false;
    const texts = rows.map(row => row.textContent.toLowerCase());
    const hits = document.getElementById('hits');
    document.getElementById('q').oninput = event => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      tables.forEach(close);
      let count = 0;
      rows.forEach((row, at) => {
        row.hidden = !words.every(word => texts[at].includes(word));
        count += !row.hidden;
      });
      hits.textContent = words.length ? `${count} of ${rows.length} rows` : '';
    };
  }

  // A large chart below a row.
  function close(table) {
    for (const open of table.querySelectorAll('tr.open')) toggle(open.previousElementSibling);
  }
  function toggle(row) {
    const button = row.querySelector('.n button');
    const below = row.nextElementSibling;
    if (below && below.classList.contains('open')) {
      below.remove();
      button.setAttribute('aria-expanded', 'false');
      return;
    }
    const open = make('tr');
    open.className = 'open';
    const cell = make('td', undefined, open);
    cell.colSpan = row.cells.length;
    row.after(open);
    button.setAttribute('aria-expanded', 'true');
    show(cell, data.series[row.dataset.i], button.textContent);
  }
  for (const row of rows) {
    const name = row.querySelector('.n');
    const button = make('button', name.textContent);
    button.type = 'button';
    button.title = 'Show its chart';
    button.setAttribute('aria-expanded', 'false');
    button.onclick = () => toggle(row);
    name.replaceChildren(button);
  }

  function show(cell, series, name) {
    const seen = unpack(series.p);
    const box = make('div', undefined, cell);
    box.className = 'big';
    const read = make('p', undefined, cell);
    read.className = 'read';
    read.setAttribute('role', 'status');
    draw(box, seen, !!series.k, name, at => {
      read.textContent = at < 0 ? '' : `${minute(times[at])} UTC: ${told(seen[at], series, at)}`;
    });
    const changes = (series.u || []).map(([at, url]) => [at, data.urls[url]]).concat(series.t || []);
    if (changes.length < 2) return;
    const log = make('ul', undefined, cell);
    log.className = 'log';
    for (const [at, text] of changes.sort((a, b) => b[0] - a[0]).slice(0, 12)) {
      const item = make('li', `${day(times[at])}  `, log);
      if (/^https?:\/\//i.test(text)) {
        const link = make('a', text, item);
        link.href = text;
        link.rel = 'noopener noreferrer nofollow';
      } else {
        make('bdi', text, item);
      }
    }
  }

  function told(token, series, at) {
    if (token in WORDS) {
      const text = token === 's' && (series.t || []).filter(([from]) => from <= at).pop();
      return text ? text[1] : WORDS[token];
    }
    if (series.k) return token;
    return token[0] === '~' ? `place ${token.slice(1)} or lower down` : `place ${token}`;
  }

  function draw(box, seen, isValue, name, told) {
    const W = Math.max(box.clientWidth, 260), H = 240, left = 34, right = 8, top = 8, floor = isValue ? 206 : 190, out = 204;
    const value = token => (token === '' || token in WORDS ? null : +token.replace('~', ''));
    const values = seen.map(value);
    const known = values.filter(one => one !== null);
    const first = times[0], breadth = Math.max(times[times.length - 1] - first, 1);
    const x = at => left + (W - left - right) * Math.min(Math.max((times[at] - first) / breadth, 0), 1);
    let y, ticks;
    if (isValue) {
      let least = Math.min(...known), most = Math.max(...known);
      if (least === most) { least -= 1; most += 1; }
      const size = 10 ** Math.floor(Math.log10((most - least) / 3));
      const step = [1, 2, 5, 10].map(n => n * size).find(step => (most - least) / step <= 4.5);
      ticks = [];
      for (let at = Math.ceil(least / step); at * step <= most; at++) ticks.push(+(at * step).toFixed(8));
      y = n => floor - (floor - top) * (n - least) / (most - least);
    } else {
      const most = Math.max(10, ...known);
      ticks = [1, 3, 10, 20, 50, 100, 200].filter(tick => tick <= most);
      y = n => top + (floor - top) * Math.log(n) / Math.log(most);
    }
    let grid = '', labels = '', line = '', bounds = '', outs = '', unknown = '', down = false;
    if (known.length) {
      for (const tick of ticks) {
        grid += `M${left} ${y(tick).toFixed(1)}H${W - right}`;
        labels += `<text x="${left - 6}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${tick}</text>`;
      }
    }
    seen.forEach((token, at) => {
      const here = x(at).toFixed(1), n = values[at];
      if (n !== null && token[0] !== '~') {
        line += `${down ? 'L' : 'M'}${here} ${y(n).toFixed(1)}`;
        const next = seen[at + 1];
        if (!down && (next === undefined || value(next) === null || next[0] === '~')) line += 'h0';
        down = true;
        return;
      }
      down = false;
      if (n !== null) bounds += `M${here} ${y(n).toFixed(1)}V${Math.min(y(n) + 26, out).toFixed(1)}`;
      else if (token === 'n' || token === 'r') outs += `M${here} ${out}h0`;
      else if (token === 'u' || token === 'm') unknown += `M${here} 212v4`;
    });
    if (outs) labels += `<text x="${left - 6}" y="${out + 4}" text-anchor="end">out</text>`;
    const last = times.length - 1;
    labels += `<text x="${left}" y="234">${day(times[0])}</text>`;
    if (last > 0) labels += `<text x="${W - right}" y="234" text-anchor="end">${day(times[last])}</text>`;
    box.innerHTML = `<svg viewBox="0 0 ${W} ${H}" role="img" tabindex="0"><path class="g" d="${grid}"/><path class="q" d="${unknown}"/>`
      + `<path class="o" d="${outs}"/><path class="b" d="${bounds}"/><path class="l" d="${line}"/><path class="m" d=""/>${labels}</svg>`;
    const svg = box.firstChild, mark = svg.querySelector('.m');
    svg.setAttribute('aria-label', `Chart of ${name}; the arrow keys read it run by run`);
    let at = -1;
    const point = to => {
      at = to;
      mark.setAttribute('d', at < 0 ? '' : `M${x(at).toFixed(1)} ${top}V216`);
      told(at);
    };
    svg.onpointermove = event => {
      const from = svg.getBoundingClientRect();
      const here = (event.clientX - from.left) * W / from.width;
      let best = 0;
      for (let run = 1; run <= last; run++) if (Math.abs(x(run) - here) < Math.abs(x(best) - here)) best = run;
      point(best);
    };
    svg.onkeydown = event => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      point(Math.min(Math.max((at < 0 ? last + 1 : at) + step, 0), last));
    };
    point(last);
  }
})();
