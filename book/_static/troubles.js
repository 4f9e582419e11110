// The troubleshooting page: show only the rows that have all the words of a message. Works from a file, too.
document.addEventListener("DOMContentLoaded", () => {
  const field = document.getElementById("find-row");
  if (!field) return;
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
});
