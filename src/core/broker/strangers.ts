import type { Socket } from 'node:net'

/** The most connections that have not logged in yet: in all, and from one address. */
const mostStrangers = 1_000
const mostFromOneAddress = 64

/**
 * Counts the connections of those who have not logged in yet, from their first byte on, TLS included. A unix socket is
 * its owner's alone: who connects there is no stranger.
 */
export class Strangers {
  readonly #addresses = new Map<string, Set<string>>()
  #count = 0

  /** Whether one more may try to log in. */
  arrive(socket: Socket): boolean {
    const { remoteAddress: address } = socket
    if (address === undefined) return true
    const there = this.#addresses.get(address) ?? new Set()
    if (this.#count >= mostStrangers || there.size >= mostFromOneAddress) return false
    const peer = nameOf(socket)
    this.#addresses.set(address, there.add(peer))
    this.#count++
    socket.once('close', () => this.#forget(address, peer))
    return true
  }

  /** The peer of this socket has logged in; with TLS the socket is another one than the one that arrived. */
  loggedIn(socket: Socket): void {
    if (socket.remoteAddress !== undefined) this.#forget(socket.remoteAddress, nameOf(socket))
  }

  #forget(address: string, peer: string): void {
    const there = this.#addresses.get(address)
    if (!there?.delete(peer)) return
    this.#count--
    if (there.size === 0) this.#addresses.delete(address)
  }
}

const nameOf = ({ remotePort, localAddress, localPort }: Socket): string => `${remotePort} ${localAddress} ${localPort}`
