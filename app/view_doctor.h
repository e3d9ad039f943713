#pragma once

#include <string>

#include "kernels/ops/doctor.h"

namespace kernels::app {

/// Sections for people: machine, GPUs, Python, Hub, cache, problems with a fix each, and a `--target` line.
std::string doctor_text(const ops::DoctorReport& report);
/// Schema `kernels.doctor/1`.
std::string doctor_json(const ops::DoctorReport& report);

}  // namespace kernels::app
