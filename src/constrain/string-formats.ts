/**
 * The formats of JSON Schema's strings as regular expressions, each a part of what its specification allows.
 */

const TWO_DIGITS = (last: number) => (last === 59 ? '[0-5][0-9]' : '(?:[01][0-9]|2[0-3])');
const HOUR = TWO_DIGITS(23);
const MINUTE = TWO_DIGITS(59);
const TIME = `${HOUR}:${MINUTE}:${MINUTE}(?:\\.[0-9]{1,9})?(?:Z|[+-]${HOUR}:${MINUTE})`;

/** Days that exist: 29 February in leap years only (RFC 3339 section 5.7). Years from 0001. */
const LEAP_YEAR = '(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)';
const YEAR = '(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)';
const DATE =
  `(?:${YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|` +
  `02-(?:0[1-9]|1[0-9]|2[0-8]))|${LEAP_YEAR}-02-29)`;

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const DOMAIN = `${LABEL}(?:\\.${LABEL}){1,2}`;
const ATOM = '[A-Za-z0-9_+-]{1,20}';
const BYTE = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const GROUP = '[0-9a-fA-F]{1,4}';
const IPV6 = [
  `(?:${GROUP}:){7}${GROUP}`,
  ...[1, 2, 3, 4, 5, 6].map((left) => `(?:${GROUP}:){1,${left}}(?::${GROUP}){1,${7 - left}}`),
  `(?:${GROUP}:){1,7}:`,
  `:(?::${GROUP}){1,7}`,
  '::',
].join('|');
const URL_CHARACTER = "[A-Za-z0-9._~!$&'()*+,;=:@-]";
const URL = `https?://${DOMAIN}(?::[1-9][0-9]{0,3})?(?:/${URL_CHARACTER}{0,100}){0,10}(?:\\?[A-Za-z0-9._~=&+-]{0,200})?(?:#[A-Za-z0-9._~-]{0,100})?`;
const DURATION_TIME = 'T(?:[0-9]{1,6}H(?:[0-9]{1,6}M(?:[0-9]{1,6}S)?)?|[0-9]{1,6}M(?:[0-9]{1,6}S)?|[0-9]{1,6}S)';
const DURATION_DATE = '(?:[0-9]{1,6}Y(?:[0-9]{1,6}M(?:[0-9]{1,6}D)?)?|[0-9]{1,6}M(?:[0-9]{1,6}D)?|[0-9]{1,6}D)';

const BASE64 = '[A-Za-z0-9+/]';

/** Patterns that match whole strings, by the name of the format; OpenAPI's too. */
export const STRING_FORMATS: Readonly<Record<string, string>> = {
  binary: '[^]*',
  byte: `(?:${BASE64}{4})*(?:${BASE64}{2}==|${BASE64}{3}=)?`,
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  duration: `P(?:${DURATION_DATE}(?:${DURATION_TIME})?|${DURATION_TIME}|[0-9]{1,6}W)`,
  email: `${ATOM}(?:\\.${ATOM}){0,2}@${DOMAIN}`,
  hostname: DOMAIN,
  ipv4: `${BYTE}(?:\\.${BYTE}){3}`,
  ipv6: IPV6,
  password: '[^]*',
  uri: URL,
  uuid: '[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}',
};

/** Formats of numbers (OpenAPI), with their limits. */
export const NUMBER_FORMATS: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-Infinity, Infinity],
  float: [-Infinity, Infinity],
  double: [-Infinity, Infinity],
};
