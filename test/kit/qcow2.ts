/** The smallest whole qcow2 file: a header, refcounts, one table of each level and one cluster with `content`. */
export function qcow2File({ version = 3, virtualBytes = 1 << 29, content = 'content' }): Buffer {
  const cluster = 1 << 16
  const file = Buffer.alloc(6 * cluster)
  file.write('QFI\xfb', 0, 'latin1')
  file.writeUInt32BE(version, 4)
  file.writeUInt32BE(16, 20)
  file.writeBigUInt64BE(BigInt(virtualBytes), 24)
  file.writeUInt32BE(Math.ceil(virtualBytes / (cluster * (cluster / 8))), 36)
  file.writeBigUInt64BE(BigInt(3 * cluster), 40)
  file.writeBigUInt64BE(BigInt(cluster), 48)
  file.writeUInt32BE(1, 56)
  if (version === 3) {
    file.writeUInt32BE(4, 96)
    file.writeUInt32BE(104, 100)
  }
  file.writeBigUInt64BE(BigInt(2 * cluster), cluster)
  for (let i = 0; i < 6; i++) file.writeUInt16BE(1, 2 * cluster + 2 * i)
  const copied = 1n << 63n
  file.writeBigUInt64BE(copied | BigInt(4 * cluster), 3 * cluster)
  file.writeBigUInt64BE(copied | BigInt(5 * cluster), 4 * cluster)
  file.write(content, 5 * cluster)
  return file
}
