/** The driver's process, as `holdfast replay` runs it. */
import { main } from './driver';

void main();
