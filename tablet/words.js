/** Sentences in the attendant's language, and how dates, hours and đồng are written. */

import { set, store } from "./store.js";

export const LANGUAGES = { vi: "Tiếng Việt", en: "English" };
const ZONE = "Asia/Ho_Chi_Minh";

/** @type {Record<string, string>} */
let sentences = {};

/** Loads a language and remembers it. */
export async function speak(language) {
  const answer = await fetch(`locale/${language}.json`);
  if (!answer.ok) throw new Error(`no words of ${language}`);
  sentences = await answer.json();
  set({ language });
  document.documentElement.lang = language;
}

/** The sentence under `key` with its `{facts}`. A missing one shows its key: a test finds it. */
export function say(key, facts = {}) {
  return (sentences[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => String(facts[name] ?? whole));
}

/** `name_vi` or `name_en` of a place, class or category; also `proof`, `parts`, `tariff`. */
export function named(thing, what = "name") {
  return thing?.[`${what}_${store.settings.language}`] ?? thing?.[`${what}_vi`] ?? "";
}

/** 70.000 ₫ in Vietnamese, 70,000 ₫ in English. */
export function vnd(amount) {
  return `${amount.toLocaleString(store.settings.language === "vi" ? "vi-VN" : "en-US")}\u00a0₫`;
}

/** 09:30 of an instant, on a Hanoi clock. */
export function hour(instant) {
  return new Date(instant).toLocaleTimeString("en-GB", { timeZone: ZONE, hour: "2-digit", minute: "2-digit" });
}

/** 21/11/2026 of a day (2026-11-21) or an instant. */
export function day(when) {
  const at = /^\d{4}-\d\d-\d\d$/.test(when) ? new Date(`${when}T12:00:00+07:00`) : new Date(when);
  return at.toLocaleDateString("en-GB", { timeZone: ZONE });
}

/** 09:30 today, 09:30 · 21/11/2026 on other days. */
export function moment(instant) {
  return day(instant) === day(new Date().toISOString()) ? hour(instant) : `${hour(instant)} · ${day(instant)}`;
}

/** Today in Hanoi as 2026-11-21. */
export function today() {
  return new Date().toLocaleDateString("en-CA", { timeZone: ZONE });
}
