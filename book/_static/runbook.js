// What the theme's pages lack. Works from a file, too.
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll("input.task-list-item-checkbox")) box.ariaLabel = "to do";
  // What is scrolled sideways is reached by the keyboard.
  for (const wide of document.querySelectorAll(".runbook, .wide, div.cell_output pre")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
  }
  const field = document.getElementById("find-row");
  if (field) findRows(field);
});

// A button that has words is called by these words, too; the theme names some of them otherwise.
addEventListener("load", () => {
  for (const icon of document.querySelectorAll("button i[title]")) icon.removeAttribute("title");
  for (const button of document.querySelectorAll("button[aria-label], summary[aria-label], a.nav-link[aria-label]")) {
    const words = button.textContent.trim().replace(/\s+/g, " ");
    if (words && !button.ariaLabel.includes(words)) button.ariaLabel = words;
  }
});

// The troubleshooting page: only the rows that have all the words of a message.
function findRows(field) {
  const rows = [...document.querySelectorAll("article table tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
  const sections = [...document.querySelectorAll("article section section")];
  const find = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    for (const section of sections) section.hidden = !section.querySelector("tbody tr:not([hidden])");
    document.getElementById("found-rows").textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  };
  field.addEventListener("input", find);
  // An address shows its row, also while words hide it.
  addEventListener("hashchange", () => { field.value = ""; find(); });
}
