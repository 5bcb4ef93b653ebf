/**
 * A system call that failed. Like Node's own system errors: `code` ("ENOENT"), `errno` (negative), `syscall` ("kmho",
 * or "mmap" where memory was asked for).
 */
export declare class KmhoError extends Error {
    /** Name of the error number, as errno(3) has it. */
    readonly code: string;
    /** The error number, negative. */
    readonly errno: number;
    /** The system call that failed. */
    readonly syscall: string;
    /** For kmho(2): which KMHO_* operation. */
    readonly opcode?: number;
    constructor(syscall: string, errno: number, sentence: string, opcode?: number);
}
/** A key or an address as messages print it. */
export declare function formatHex(value: bigint): string;
/**
 * Throws unless `result`, as the addon returned it, is 0.
 *
 * @throws KmhoError with syscall "kmho"
 */
export declare function checkResult(result: number, opcode: number, key?: bigint): void;
type ArgumentErrorCode = 'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE' | 'ERR_OUT_OF_RANGE' | 'ERR_INVALID_STATE';
/** An error about an argument, of the class and with the code that Node uses. `found` is shown shortened. */
export declare function argumentError(code: ArgumentErrorCode, expectation: string, found?: unknown): Error;
export {};
//# sourceMappingURL=errors.d.cts.map