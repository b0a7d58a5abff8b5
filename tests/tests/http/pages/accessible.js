// What can be checked by machine of WCAG 2.2 AA, in the page as the browser has laid it out. Gives the faults.
(() => {
  const faults = [];
  const numbers = (text) => text.match(/[\d.]+/g).map(Number);
  const opaque = (colour) => colour.length < 4 || colour[3] === 1;
  const ground = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const colour = numbers(getComputedStyle(it).backgroundColor);
      if (opaque(colour)) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
  };
  const light = ([r, g, b]) => {
    const part = (value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const contrast = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const seen = (element) => element.checkVisibility() && element.getClientRects().length > 0 && element.getBoundingClientRect().right > 0;

  // 1.4.3 and 1.4.11: contrast of text, and of shapes that carry meaning.
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !seen(element)) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const found = contrast(numbers(style.color), ground(element));
    if (found < least) faults.push(`contrast ${found.toFixed(2)}: ${texts.currentNode.data.trim().slice(0, 40)}`);
    if (size < 12) faults.push(`text of ${size}px: ${texts.currentNode.data.trim().slice(0, 40)}`);
  }
  for (const mark of document.querySelectorAll(".mark")) {
    const found = contrast(numbers(getComputedStyle(mark).color), ground(mark.parentElement));
    if (found < 3) faults.push(`contrast of a mark: ${found.toFixed(2)}`);
  }

  // 1.3.1, 2.4.1, 2.4.2, 2.4.6, 3.1.1: structure.
  if (document.documentElement.lang !== "en") faults.push("no language");
  if (!document.title.trim()) faults.push("no title");
  for (const landmark of ["header", "main", "footer"])
    if (document.querySelectorAll(`body > ${landmark}`).length !== 1) faults.push(`not one ${landmark}`);
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) faults.push(`h${next} behind h${level}: ${heading.textContent}`);
    if (!heading.textContent.trim()) faults.push(`an empty h${next}`);
    level = next;
  }
  if (document.querySelector("body > a")?.getAttribute("href") !== "#main") faults.push("nothing leads to the content");

  // 4.1.2, 1.1.1, 3.3.2: names and labels.
  const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`two of #${id}`);
  for (const it of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const id of (it.getAttribute("aria-labelledby") ?? it.getAttribute("aria-describedby")).split(" "))
      if (!ids.includes(id)) faults.push(`no #${id}`);
  for (const it of document.querySelectorAll("input:not([type=hidden])")) if (!it.labels.length) faults.push("an input without a label");
  for (const it of document.querySelectorAll("a, button"))
    if (!(it.textContent.trim() || it.getAttribute("aria-label"))) faults.push("a link or button without a name");
  for (const it of document.querySelectorAll("svg"))
    if (!(it.getAttribute("aria-hidden") === "true" || it.getAttribute("aria-label"))) faults.push("a picture without a name");
  for (const it of document.querySelectorAll("ul, ol"))
    if ([...it.children].some((child) => child.tagName !== "LI")) faults.push("a list with something else in it");

  // 1.4.10: nothing is cut off or scrolls sideways. 2.5.8: targets are large enough, but for those in sentences.
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`${document.documentElement.scrollWidth}px wide`);
  for (const it of document.querySelectorAll("header .node, .head h1, .scroll th[scope=row]"))
    if (seen(it) && it.scrollWidth > it.clientWidth + 1) faults.push(`a name of ${it.scrollWidth}px in ${it.clientWidth}px`);
  for (const it of document.querySelectorAll(".scroll td[data-of]"))
    if (parseFloat(getComputedStyle(it, "::before").height) > it.clientHeight) faults.push(`a label over the next line: ${it.dataset.of}`);
  for (const it of document.querySelectorAll(".points code, .history code, .whole"))
    if (it.textContent.length < 12 && it.getClientRects().length > 1) faults.push(`a word that is broken: ${it.textContent}`);
  for (const it of document.querySelectorAll("button, input:not([type=hidden]), header a, nav a, .downloads a"))
    if (seen(it) && it.getBoundingClientRect().height < 24) faults.push(`a target of ${it.getBoundingClientRect().height}px`);

  // 2.4.7, 1.4.11: whoever goes through the page by keyboard sees where they are.
  for (const it of document.querySelectorAll("a, button, input:not([type=hidden]), pre, .scroll")) {
    it.focus({ preventScroll: true });
    if (!it.matches(":focus-visible")) continue;
    const style = getComputedStyle(it);
    const found = contrast(numbers(style.outlineColor), ground(it.parentElement));
    if (style.outlineStyle !== "solid") faults.push(`no outline of its own: ${it.textContent.trim().slice(0, 40)}`);
    else if (found < 3) faults.push(`contrast ${found.toFixed(2)} of the focus: ${it.textContent.trim().slice(0, 40)}`);
  }

  // Nothing is asked of anybody else, and nothing runs.
  for (const it of performance.getEntriesByType("resource"))
    if (!it.name.startsWith(location.origin + "/")) faults.push(`asks ${it.name}`);
  if (document.querySelector("script, iframe, object, embed, [style], [onclick], [onload], [onerror]")) faults.push("something that runs");
  return faults;
})()
