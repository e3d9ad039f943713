#pragma once

#include <chrono>
#include <string>

#include "kernels/ops/lock.h"

namespace kernels::app {

enum class LockAction { written, checked, previewed };

std::string lock_text(const ops::LockReport& report, LockAction action, std::chrono::milliseconds took);
/// Schema `kernels.lock-report/1`.
std::string lock_json(const ops::LockReport& report, LockAction action);

}  // namespace kernels::app
