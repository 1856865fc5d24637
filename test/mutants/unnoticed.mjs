export const unnoticed = [];
