export * from './index.cjs';
//# sourceMappingURL=index.d.ts.map