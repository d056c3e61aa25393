// mma.m8n8k4 on f16: four independent products per warp, one for each quad pair.
#pragma once
#include "lanes.h"

namespace ptxemu {

class Decoder;

uint16_t VoltaFlags(const Decoder& d);
void MultiplyVolta(Warp& warp, const Instruction& instruction, uint32_t mask);

}  // namespace ptxemu
