// @ts-check

/** @satisfies {import("../js/messages.js").Messages} */
export default {
  language: "de",
  bar: "Wer hier ist",
  rest: "Wer noch hier ist",
  connecting: "Verbindet …",
  here: "{n} hier",
  more: "+{n} weitere",
  you: " (du)",
  away: ", abwesend",
  reconnecting: ", verbindet sich neu",
  joined: { one: "{names} ist jetzt hier", other: "{names} sind jetzt hier" },
  left: { one: "{names} ist gegangen", other: "{names} sind gegangen" },
  others: { one: "{n} weitere Person", other: "{n} weitere Personen" },
  typing: { one: "{names} schreibt …", other: "{names} schreiben …" },
  manyTyping: "Mehrere Personen schreiben …",
  lastSeen: "Zuletzt angesehen von {name} {time}",
};
