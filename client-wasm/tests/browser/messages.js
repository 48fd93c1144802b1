import { fewNames, messagesOf, say } from "../../js/messages.js";
import { begin, enter, equal, ok, refused } from "./world.js";

// One after the other: the runner's server gets stuck when it is asked for many files at once.
async function locales() {
  const tables = [];
  for (const language of ["de", "ja", "ar"]) {
    tables.push((await import(`../../locales/${language}.js`)).default);
  }
  return tables;
}

export async function english_is_spoken_unless_told_otherwise() {
  begin();
  const { messages } = enter();
  equal(messages.language, "en-GB");
  equal(say(messages, "here", { n: 1234 }), "1,234 here");
  equal(say(messages, "joined", { n: 1, names: ["bob"] }), "bob joined");
  equal(say(messages, "typing", { n: 1, names: ["bob"] }), "bob is typing…");
  equal(say(messages, "typing", { n: 2, names: ["bob", "eve"] }), "bob and eve are typing…");
  ok(Object.isFrozen(messages));
}

export async function what_a_table_lacks_is_english() {
  begin();
  const { messages } = enter({ messages: { here: "{n} readers", you: "" } });
  equal(say(messages, "here", { n: 3 }), "3 readers");
  equal(say(messages, "you"), "");
  equal(say(messages, "connecting"), "Connecting…");
}

export async function a_table_that_is_wrong_is_an_error_that_names_the_entry() {
  begin();
  const problems = [
    [42, "messages"],
    [null, "messages"],
    [{ hear: "x" }, "messages.hear"],
    [{ toString: "x" }, "messages.toString"],
    [{ here: 42 }, "messages.here"],
    [{ here: null }, "messages.here"],
    [{ here: { one: "x" } }, "messages.here"],
    [{ here: { other: "x", three: "y" } }, '"three"'],
    [{ here: { other: "x", two: 2 } }, '"two"'],
    [{ here: "{count} here" }, "{count}"],
    [{ joined: "{name} joined" }, "{name}"],
    [{ language: "x" }, "messages.language"],
    [{ language: 42 }, "messages.language"],
    [{ language: "" }, "messages.language"],
  ];
  for (const [messages, text] of problems) {
    refused("bad_options", text, () => enter({ messages }));
  }
}

export async function every_locale_has_every_entry_and_all_its_plurals() {
  begin();
  const entries = Object.keys(messagesOf()).sort();
  for (const table of await locales()) {
    equal(Object.keys(table).sort(), entries, table.language);
    ok(messagesOf(table));
    const { pluralCategories } = new Intl.PluralRules(table.language).resolvedOptions();
    for (const [entry, message] of Object.entries(table)) {
      const plurals = typeof message === "string" ? [] : Object.keys(message);
      ok(
        plurals.every((it) => pluralCategories.includes(it)),
        `${table.language} ${entry}`,
      );
    }
  }
}

export async function plurals_and_lists_are_those_of_the_language() {
  begin();
  const [de, ja, ar] = (await locales()).map(messagesOf);
  const names = ["Ada", "Bo", "Cy", "Di", "Ed"];
  const joined = (messages, n) =>
    say(messages, "joined", { n, names: fewNames(messages, names.slice(0, n)) });
  equal(joined(messagesOf(), 2), "Ada and Bo joined");
  equal(joined(messagesOf(), 3), "Ada, Bo and Cy joined");
  equal(joined(messagesOf(), 5), "Ada, Bo and 3 others joined");
  equal(joined(de, 1), "Ada ist jetzt hier");
  equal(joined(de, 5), "Ada, Bo und 3 weitere Personen sind jetzt hier");
  equal(joined(ja, 5), "Ada、Bo、ほか3人が参加しました");
  equal(say(ar, "here", { n: 2 }), "شخصان هنا");
  equal(say(ar, "here", { n: 5 }), "5 أشخاص هنا");
  equal(say(ar, "here", { n: 11 }), "11 شخصًا هنا");
}
