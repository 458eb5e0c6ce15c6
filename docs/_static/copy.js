// Copy buttons: a block of a page with the lines it needs before it, so that it runs alone; or the block as it stands.
(() => {
  const announcer = document.createElement("div");
  announcer.className = "visually-hidden";
  announcer.setAttribute("role", "status");
  let silence;
  const announce = (text) => {
    announcer.textContent = text;
    clearTimeout(silence); // of a button pressed before
    silence = setTimeout(() => (announcer.textContent = ""), 2000);
  };

  const button = (label, text) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "copy";
    made.textContent = label;
    made.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        made.textContent = "Copied";
      } catch {
        made.textContent = "Not copied: select the text instead";
      }
      announce(made.textContent);
      setTimeout(() => (made.textContent = label), 2000);
    });
    return made;
  };

  // Of a console, the commands: the lines after a prompt, or all where none has one.
  const commands = (text) => {
    const prompted = text.split("\n").filter((line) => line.startsWith("$ "));
    return prompted.length ? prompted.map((line) => line.slice(2)).join("\n") + "\n" : text;
  };

  const equip = (block) => {
    const text = block.querySelector("pre").textContent;
    const row = document.createElement("div");
    row.className = "copy-row";
    const program = block.nextElementSibling?.matches("pre.copied-program") ? block.nextElementSibling : null;
    const lines = Number(program?.dataset.lines ?? 0);
    if (lines) {
      row.append(button(`Copy with the ${lines} ${lines === 1 ? "line" : "lines"} it needs`, program.textContent));
      row.append(button("This block only", text));
    } else if (block.classList.contains("highlight-console")) {
      row.append(button("Copy the commands", commands(text)));
    } else {
      row.append(button("Copy", text));
    }
    (program ?? block).after(row);
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.body.append(announcer);
    document
      .querySelectorAll("div[class*='highlight-']:not(.output):not(.highlight-text):not(.highlight-none)")
      .forEach((block) => block.querySelector("pre") && equip(block));
  });
})();
