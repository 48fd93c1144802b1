// @ts-check
//
// Writes docs/api.md from the package's types, so that the reference can't say anything else.
//
//   node scripts/api-docs.mjs          writes it
//   node scripts/api-docs.mjs --check  fails if it isn't what would be written
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { isMain, Refusal, runMain, say } from "./setup/log.mjs";
import { repoRoot } from "./setup/versions.mjs";

const PAPER = join(repoRoot, "docs/api.md");
const MODULES = /** @type {const} */ ([
  ["whoshere", "index.d.ts", "js"],
  ["whoshere/element", "element.d.ts", "html"],
  ["whoshere/testing", "testing.d.ts", "js"],
  ["whoshere/react", "react.d.ts", "jsx"],
  ["whoshere/vue", "vue.d.ts", "vue"],
  ["whoshere/svelte", "svelte.d.ts", "svelte"],
]);

/** What docs/api.md has to be. */
export function apiReference() {
  const parts = ["# API", "Written by `node scripts/api-docs.mjs` from the types; change those."];
  for (const [name, file, exampleLanguage] of MODULES) {
    const path = join(repoRoot, "client-wasm", file);
    const source = ts.createSourceFile(
      path,
      readFileSync(path, "utf8"),
      ts.ScriptTarget.Latest,
      true,
    );
    parts.push(`## ${name}`);
    for (const statement of source.statements) {
      if (ts.isImportDeclaration(statement) || ts.isModuleDeclaration(statement)) continue;
      const text = declaration(statement);
      parts.push(...text.map((it) => it.replaceAll("```example\n", `\`\`\`${exampleLanguage}\n`)));
    }
  }
  return `${parts.join("\n\n")}\n`;
}

/** @param {ts.Statement} node @returns {string[]} */
function declaration(node) {
  if (ts.isFunctionDeclaration(node)) {
    return [`### ${node.name?.text}()`, code(node), ...comment(node)];
  }
  if (ts.isVariableStatement(node)) {
    const [it] = node.declarationList.declarations;
    return [`### ${it?.name.getText()}`, code(node), ...comment(node)];
  }
  if (ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node)) {
    return [`### ${node.name?.text}`, ...comment(node), ...table(node.members)];
  }
  if (ts.isTypeAliasDeclaration(node)) {
    const texts = ts.isUnionTypeNode(node.type) ? alternatives(node.type) : [];
    const list = texts.some((it) => it.includes(": ")) ? texts.join("\n") : code(node.type);
    return [`### ${node.name.text}`, ...comment(node), list];
  }
  throw new Refusal(`api-docs doesn't know what to write of: ${node.getText().slice(0, 60)}`);
}

/** @param {ts.UnionTypeNode} union its parts, each with the comment that stands before its bar */
function alternatives(union) {
  const source = union.getSourceFile().text;
  let end = union.getFullStart();
  return union.types.map((node) => {
    const before = source.slice(end, node.getStart());
    end = node.end;
    const said = /\/\*\*(.*?)\*\//s.exec(before)?.[1] ?? "";
    const text = words(said.replaceAll(/^\s*\* ?/gm, ""));
    return `- ${code(node)}${text && `: ${text}`}`;
  });
}

/** @param {ts.NodeArray<ts.TypeElement | ts.ClassElement>} members */
function table(members) {
  return members.map(
    (it) => `- ${[code(it), ...comment(it)].join("\n\n").replaceAll(/\n(?=.)/g, "\n  ")}`,
  );
}

/** @param {ts.Node} node */
function code(node) {
  const text = node
    .getText()
    .replace(/^export /, "")
    .replaceAll(/\/\*\*.*?\*\//gs, "");
  return `\`${text.replaceAll(/\s+/g, " ").replace(/;$/, "").trim()}\``;
}

/** @param {ts.Node} node @returns {string[]} */
function comment(node) {
  const docs = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc).at(-1);
  if (docs === undefined) return [];
  const parts = [words(ts.getTextOfJSDocComment(docs.comment))];
  for (const tag of docs.tags ?? []) {
    const text = words(ts.getTextOfJSDocComment(tag.comment));
    const name = tag.tagName.text;
    if (ts.isJSDocParameterTag(tag)) parts.push(`\`${tag.name.getText()}\`: ${text}`);
    else if (name === "returns") parts.push(`Returns ${text}.`);
    else if (name === "throws") parts.push(`Throws ${thrown(docs, text)}`);
    else if (name === "defaultValue") parts.push(`Default: \`${text}\`.`);
    else if (name === "example")
      parts.push(`\`\`\`example\n${ts.getTextOfJSDocComment(tag.comment)}\n\`\`\``);
  }
  return parts.filter((it) => it !== "");
}

/**
 * The parser takes the braces of `@throws {PresenceError}` for a type.
 *
 * @param {ts.JSDoc} docs
 * @param {string} text
 */
function thrown(docs, text) {
  const type = /@throws \{(\w+)\}/.exec(docs.getText())?.[1];
  return `\`${type}\` ${text}`.replace(/([^.])$/, "$1.");
}

/** @param {string} [text] */
function words(text = "") {
  const plain = text.replaceAll(/\{@link ([\w.]+)\s*\}/g, "`$1`");
  return plain
    .replaceAll(/\n(?!\n|- )/g, " ")
    .replaceAll(/\n /g, "\n\n")
    .replaceAll(/ {2,}/g, " ")
    .trim();
}

if (isMain(import.meta.url)) {
  await runMain(async () => {
    const reference = apiReference();
    if (process.argv[2] !== "--check") writeFileSync(PAPER, reference);
    else if (readFileSync(PAPER, "utf8") !== reference) {
      throw new Refusal("docs/api.md is stale: node scripts/api-docs.mjs writes it.");
    }
    say("docs/api.md is what the types say.");
  });
}
