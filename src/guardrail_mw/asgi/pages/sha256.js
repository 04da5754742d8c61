// PBKDF2 with HMAC-SHA-256 (RFC 8018, FIPS 180-4), for pages that came over plain http: browsers keep WebCrypto from them.
// The constants are what the standard says they are: the first 32 bits of the fractions of roots of primes.
const primes = []
for (let n = 2; primes.length < 64; n++) if (primes.every(p => n % p)) primes.push(n)
const fraction = x => (x - Math.floor(x)) * 2 ** 32 | 0
const ROUNDS = Int32Array.from(primes, p => fraction(Math.cbrt(p)))
const FIRST = Int32Array.from(primes.slice(0, 8), p => fraction(Math.sqrt(p)))
const words = new Int32Array(64)

// One block: `words[0..15]` into `to`, which begins as `from`.
const compress = (from, to) => {
  for (let i = 16; i < 64; i++) {
    const x = words[i - 15], y = words[i - 2]
    const s = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3
    const t = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10
    words[i] = words[i - 16] + s + words[i - 7] + t | 0
  }
  let a = from[0], b = from[1], c = from[2], d = from[3], e = from[4], f = from[5], g = from[6], h = from[7]
  for (let i = 0; i < 64; i++) {
    const s = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)
    const t = h + s + (e & f ^ ~e & g) + ROUNDS[i] + words[i] | 0
    const u = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0
    h = g; g = f; f = e; e = d + t | 0; d = c; c = b; b = a; a = t + u | 0
  }
  to[0] = from[0] + a; to[1] = from[1] + b; to[2] = from[2] + c; to[3] = from[3] + d
  to[4] = from[4] + e; to[5] = from[5] + f; to[6] = from[6] + g; to[7] = from[7] + h
}

// What follows the key's block: at most 55 bytes, or the eight words of a hash, with the padding that ends a message.
const load = (bytes) => {
  words.fill(0, 0, 16)
  bytes.forEach((byte, i) => { words[i >> 2] |= byte << 24 - 8 * (i & 3) })
}
const finish = (from, to, bytes) => {
  load([...bytes, 128])
  words[15] = 8 * (64 + bytes.length)
  compress(from, to)
}
const chain = (from, to, hash) => {
  for (let i = 0; i < 8; i++) words[i] = hash[i]
  words[8] = 1 << 31
  for (let i = 9; i < 15; i++) words[i] = 0
  words[15] = 768
  compress(from, to)
}

// `pause` is awaited whenever `due` says so, so that the page stays responsive.
const pbkdf2 = async (password, salt, cost, length, due, pause) => {
  if (password.length > 64 || salt.length > 51) throw new Error("longer than a block")
  const inner = new Int32Array(8), outer = new Int32Array(8), hash = new Int32Array(8), made = new Uint8Array(length)
  const key = [0, 1].map(i => Array.from({length: 64}, (_, j) => (password[j] || 0) ^ [0x36, 0x5c][i]))
  load(key[0]); compress(FIRST, inner)
  load(key[1]); compress(FIRST, outer)
  for (let block = 0; 32 * block < length; block++) {
    finish(inner, hash, [...salt, 0, 0, 0, block + 1])
    chain(outer, hash, hash)
    const sum = hash.slice()
    for (let i = 1; i < cost; i++) {
      if (!(i & 127) && due()) await pause()
      chain(inner, hash, hash)
      chain(outer, hash, hash)
      for (let j = 0; j < 8; j++) sum[j] ^= hash[j]
    }
    for (let i = 0; i < 32 && 32 * block + i < length; i++) made[32 * block + i] = sum[i >> 2] >>> 24 - 8 * (i & 3)
  }
  return made
}
