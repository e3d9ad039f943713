#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/runtime/tensor.h"

// workloads.toml, the file beside a kernel's library that says what to call it with and when a result is
// right.
//
//   schema = 1
//   [[functions]]     name, reference, arguments, tolerance per data type, optional `independent`,
//   `baseline`,
//                     `flops`
//     arguments       {name, access = "read" | "write" | "read-write", shape = ["rows", "2*cols"]} is a
//     tensor,
//                     {name, value = 1e-6} a number. A tensor may also have
//       dtype         "float8_e4m3fn", "float32", "int32", "int64", …: fixed; without it, the type of the
//       case below         a size; of whole numbers that are read, which are random ones from 0 up to but not
//       it tolerance     {relative, absolute}; of a written tensor with a dtype, in place of the function's
//       moved         sizes, ["tokens", "cols"]: at most so many elements of it are touched by a call, a
//                     table of which only some rows are looked up
//     independent     a size: results of different indices of the first dimension do not depend on one
//     another, so
//                     a large shape may be checked on a sample of them
//     baseline        another function of the library with the same arguments: what people would use without
//     this
//                     one, measured beside it
//     flops           floating-point operations of one call, a sum: ["2*rows*cols*inner", "rows*cols"]
//   [[probes]]        sizes = {rows = 3, cols = 7}: shapes that are only checked
//   [[workloads]]     name, origin, sizes, dtypes, optional `functions` (default: all)
//
// The tolerance of a function is also the list of types that it takes, so these are floating-point ones.
// Whole numbers that are written are compared exactly unless their tolerance says otherwise.
// The file comes from the Hub and is hostile: counts, names and sizes are bounded before anything is
// allocated.

namespace kernels::bench {

using Sizes = std::map<std::string, std::int64_t>;
using runtime::DType;

/// |got - reference| <= absolute + relative * |reference|
struct Tolerance {
  double relative = 0;
  double absolute = 0;
  bool operator==(const Tolerance&) const = default;
};

enum class Access : std::uint8_t { read, write, read_write };

/// A product of a whole number and names of sizes: "2*cols".
struct SizeProduct {
  std::int64_t factor = 1;
  std::vector<std::string> names;
};

struct ArgumentSpec {
  std::string name;
  std::optional<double> value;  ///< a number; without it a tensor
  Access access = Access::read;
  std::vector<SizeProduct> shape;
  std::optional<DType> dtype = {};          ///< none: the type of the case
  std::optional<SizeProduct> below = {};    ///< of whole numbers that are read
  std::optional<Tolerance> tolerance = {};  ///< none: that of the function
  std::vector<SizeProduct> moved = {};      ///< empty: all of it
};

/// The type of a tensor argument in a case of `type`.
inline DType dtype_of(const ArgumentSpec& argument, DType type) {
  return argument.dtype.value_or(type);
}

struct FunctionSpec {
  std::string name;
  std::string reference;
  std::string independent;              ///< empty: none
  std::string baseline = {};            ///< empty: none
  std::vector<SizeProduct> flops = {};  ///< summed; empty: not declared
  std::vector<ArgumentSpec> arguments;
  std::map<DType, Tolerance> tolerance;  ///< also the list of data types that the function takes
};

struct Workload {
  std::string name;
  std::string origin;
  Sizes sizes;
  std::vector<DType> dtypes;
  std::vector<std::string> functions;  ///< empty: all
};

struct WorkloadFile {
  std::vector<FunctionSpec> functions;
  std::vector<Sizes> probes;
  std::vector<Workload> workloads;
};

/// Errors  corrupt, naming the entry; unsupported for another schema.
Result<WorkloadFile> parse_workloads(std::string_view text);

/// A shape that somebody wrote on a command line: `rows=4096,cols=8192,dtype=bf16`.
struct HandWorkload {
  Sizes sizes;
  std::optional<DType> dtype;
};

/// `float32`, `fp32`, `float16`, `fp16`, `half`, `bfloat16`, `bf16`.
std::optional<DType> dtype_from_text(std::string_view text);

/// Errors  invalid_argument: not such a text; a size that is negative or above 2^40, or there twice.
Result<HandWorkload> parse_hand_workload(std::string_view text);

/// The workload of these sizes for the functions of a file. `T` and `tokens` stand for its `rows`, `hidden`
/// for its `cols`, where it has no size of that name. Errors  invalid_argument: a name that no function of
/// the file uses, a size that a function needs and that is not there, a data type that none takes.
Result<Workload> to_workload(const HandWorkload& hand, const WorkloadFile& file);

/// The sizes of one tensor argument. Errors  corrupt: an unknown size, or a product above 2^40.
Result<std::vector<std::int64_t>> shape_of(const ArgumentSpec& argument, const Sizes& sizes);

/// The number of which the random whole numbers of an argument stay below, at least 1. Errors  corrupt: an
/// unknown size, a product above 2^40, or numbers that the type of the argument does not have.
Result<std::uint64_t> limit_of(const ArgumentSpec& argument, const Sizes& sizes);

/// What one call moves of a tensor argument, in bytes: what is read and written is counted once. Errors  as
/// shape_of.
Result<std::uint64_t> bytes_moved(const ArgumentSpec& argument, const Sizes& sizes, DType type);

/// Bytes that any implementation must move at least: every tensor read or written once, read-write ones
/// twice. Errors  as shape_of; corrupt when the sum leaves 2^48.
Result<std::uint64_t> bytes_moved(const FunctionSpec& function, const Sizes& sizes, DType type);

/// Bytes of all tensors of a call, each once and without gaps. Errors  as shape_of.
Result<std::uint64_t> operand_bytes(const FunctionSpec& function, const Sizes& sizes, DType type);

/// Floating-point operations of one call; 0 where the function declares none. Errors  corrupt: an unknown
/// size, or a sum above 2^60.
Result<std::uint64_t> flops_of(const FunctionSpec& function, const Sizes& sizes);

/// "rows=3 cols=7"
std::string describe(const Sizes& sizes);

}  // namespace kernels::bench
