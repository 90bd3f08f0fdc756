// What the contestants on Node are told at their start, who a token speaks for, and how ids and cursors are spelled.
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createVerifier } from "fast-jwt";
import pg from "pg";

export const world = JSON.parse(readFileSync(process.env.PEERS_WORLD, "utf8"));

const keys = new Map(
  world.jwks.keys.map((jwk) => [
    jwk.kid,
    createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" }),
  ]),
);

const verify = createVerifier({
  key: async ({ header }) => keys.get(header.kid),
  algorithms: ["RS256"],
  allowedIss: world.issuer,
  requiredClaims: ["exp", "iat", "iss", "sub"],
  cache: 10_000,
});

/** The subject of a request's token; throws where it does not hold. */
export async function subjectOf(headers) {
  const { sub } = await verify((headers.authorization ?? "").replace(/^bearer /i, ""));
  return sub;
}

/** A pool as large as everybody's. Dates and numbers stay the text that Postgres writes. */
export function openPool() {
  return new pg.Pool({
    connectionString: world.database_url,
    max: 10,
    min: 10,
    options: "-c timezone=UTC",
    types: { getTypeParser: (oid, format) => PARSERS[oid] ?? pg.types.getTypeParser(oid, format) },
  });
}

const PARSERS = {
  [pg.types.builtins.INT8]: Number,
  [pg.types.builtins.DATE]: String,
  [pg.types.builtins.NUMERIC]: String,
  // 2026-11-20 14:05:06.123456+00
  [pg.types.builtins.TIMESTAMPTZ]: (text) => `${text.slice(0, 10)}T${text.slice(11)}:00`,
};

export const globalId = (kind, key) => Buffer.from(`${kind}:${key}`).toString("base64url");

/** Of a moment as the pool gives it. */
export function cursor(at, key) {
  const [seconds, rest = ""] = at.slice(0, -6).split(".");
  const moment = `${seconds}.${rest.padEnd(6, "0")}Z`;
  return Buffer.from(JSON.stringify([world.scans_tag, moment, key])).toString("base64url");
}

/** What the user's tier allows beside what is used. */
export function limitsOf(tier, used) {
  const [portfolios, messages] = world.limits[tier];
  const now = new Date();
  return {
    maxPortfolios: portfolios,
    maxAiMessages: messages,
    aiMessagesUsed: used,
    aiMessagesRemaining: messages === null ? null : Math.max(0, messages - used),
    aiMessagesResetAt: new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)).toISOString(),
  };
}
