// SPDX-License-Identifier: MIT
// Colours for a person at a terminal, and for nobody else: picocolors alone would also colour
// the pipes of a CI machine.

import picocolors from 'picocolors'

const wanted = process.env['FORCE_COLOR'] ? picocolors.isColorSupported : process.stderr.isTTY === true && picocolors.isColorSupported

export default picocolors.createColors(wanted)
