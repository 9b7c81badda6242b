/** Three sounds that cannot be mistaken for one another, and the vibration that goes with each. */

import { store } from "./store.js";

/** Hertz, start and length in seconds; the refused one is low and rough, so that it is heard in traffic. */
const TUNES = {
  good: { wave: "sine", notes: [[880, 0, 0.12], [1320, 0.13, 0.22]], shake: [80] },
  wait: { wave: "triangle", notes: [[660, 0, 0.14], [660, 0.2, 0.14], [660, 0.4, 0.14]], shake: [80, 80, 80] },
  bad: { wave: "square", notes: [[196, 0, 0.28], [147, 0.32, 0.45]], shake: [300, 100, 300] },
};

/** @type {AudioContext|undefined} */
let audio;

/** @param {keyof typeof TUNES} tone */
export function play(tone) {
  const tune = TUNES[tone];
  if (!tune) return;
  if (store.settings.vibrate) navigator.vibrate?.(tune.shake);
  if (!store.settings.sound || !window.AudioContext) return;
  audio ??= new AudioContext();
  // A page may sound only after its first key or touch; a scanner's keys count.
  if (audio.state === "suspended") audio.resume().catch(() => undefined);
  for (const [pitch, start, length] of tune.notes) {
    const from = audio.currentTime + start;
    const voice = audio.createOscillator();
    const volume = audio.createGain();
    voice.type = tune.wave;
    voice.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, from);
    volume.gain.exponentialRampToValueAtTime(0.5, from + 0.015);
    volume.gain.exponentialRampToValueAtTime(0.0001, from + length);
    voice.connect(volume).connect(audio.destination);
    voice.start(from);
    voice.stop(from + length + 0.02);
  }
}
