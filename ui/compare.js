// Two runs beside each other inside a Streamlit page.

import { compare } from "./compare.js";

const mounted = new WeakMap();

export default function ({ data, parentElement }) {
  const end = data.indexOf(10);
  const text = (bytes) => JSON.parse(new TextDecoder().decode(bytes));
  const options = text(data.subarray(0, end));
  const payload = text(data.subarray(end + 1));
  const place = parentElement.querySelector(".place");
  const there = mounted.get(place);
  if (there === undefined) mounted.set(place, compare(place, payload, options));
  else there.update(payload, options);
  return () => {
    if (place.isConnected) return; // asked of a call that came too late, after a newer one
    mounted.get(place)?.destroy();
    mounted.delete(place);
  };
}
