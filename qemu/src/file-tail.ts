// SPDX-License-Identifier: MIT
// Follows a file that another process writes. Looks at it again and again rather than trusting notifications, which
// not every file system gives.

import { open, type FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';

const LOOK_EVERY_MS = 50;

export class FileTail {
  #decoder = new StringDecoder('utf8');
  #handle: FileHandle | undefined;
  #position = 0;
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #loop: Promise<void>;

  constructor(
    readonly path: string,
    readonly onChunk: (chunk: string) => void,
  ) {
    this.#loop = this.#follow();
    // end() tells of a failure; until then it is nobody's unhandled rejection.
    this.#loop.catch(() => undefined);
  }

  /** Reads what there still is, and stops. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#wake?.();
    await this.#loop;
  }

  async #follow(): Promise<void> {
    const buffer = Buffer.alloc(64 << 10);
    try {
      this.#handle = await open(this.path);
      for (;;) {
        // Asked before reading: what was written before end() is then read.
        const last = this.#ended;
        for (;;) {
          const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#position);
          if (bytesRead === 0) break;
          this.#position += bytesRead;
          this.onChunk(this.#decoder.write(buffer.subarray(0, bytesRead)));
        }
        if (last) break;
        await new Promise<void>((settle) => {
          const timer = setTimeout(settle, LOOK_EVERY_MS);
          this.#wake = () => {
            clearTimeout(timer);
            settle();
          };
        });
      }
    } finally {
      await this.#handle?.close();
    }
  }
}
