/** How much of a trace is read and shown: a file may hold any number of anything. */
export const LIMIT = {
  lines: 20_000,
  lineLength: 1_000,
  text: 300,
  note: 8_000,
  message: 4_000,
  rank: 12,
  tensors: 8,
  tall: 2,
  owned: 16,
  thumbnails: 8,
  side: 4_096,
  panels: 40,
  pictures: 300,
  formula: 160,
  constraints: 40,
  aliases: 12,
  fixes: 8,
  changes: 12,
  changedLines: 40,
  warnings: 200,
  links: 8,
  terms: 40,
  chapters: 24,
};
/** How the sizes of a trace with formulas are written. */
export const FACES = ["numbers", "formulas", "both"];
