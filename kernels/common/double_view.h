#pragma once

#include <cstdint>
#include <cstring>

#include "common/dtype.h"

namespace kernels::common {

/// Elements of any floating-point type read and written as float64, for references: clear before fast.
inline double load_double(const void* data, ElementType type, std::int64_t index) {
  switch (type) {
    case ElementType::float64:
      return static_cast<const double*>(data)[index];
    case ElementType::float32:
      return static_cast<double>(static_cast<const float*>(data)[index]);
    case ElementType::float16:
      return static_cast<double>(to_float(static_cast<const Half*>(data)[index]));
    case ElementType::float8_e4m3:
      return static_cast<double>(to_float(static_cast<const Float8*>(data)[index]));
    default:
      return static_cast<double>(to_float(static_cast<const Bfloat16*>(data)[index]));
  }
}

/// Whole numbers of either width.
inline std::int64_t load_whole(const void* data, ElementType type, std::int64_t index) {
  return type == ElementType::int32 ? static_cast<const std::int32_t*>(data)[index]
                                    : static_cast<const std::int64_t*>(data)[index];
}

inline void store_double(void* data, ElementType type, std::int64_t index, double value) {
  const auto single = static_cast<float>(value);
  switch (type) {
    case ElementType::float64:
      static_cast<double*>(data)[index] = value;
      return;
    case ElementType::float32:
      static_cast<float*>(data)[index] = single;
      return;
    case ElementType::float16:
      from_float(single, static_cast<Half*>(data)[index]);
      return;
    case ElementType::float8_e4m3:
      from_float(single, static_cast<Float8*>(data)[index]);
      return;
    default:
      from_float(single, static_cast<Bfloat16*>(data)[index]);
      return;
  }
}

}  // namespace kernels::common
