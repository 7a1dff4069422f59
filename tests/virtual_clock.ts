// The clock and the chance of the test kit, under the name that the tests of the runtime know them by.
export { SeededRandom, settled, VirtualClock } from "../src/testing/virtual_clock.ts";
