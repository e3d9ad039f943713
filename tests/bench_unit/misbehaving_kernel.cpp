// Functions (out, x) that should copy x to out, as `copy_reference` does, and do something else.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include <unistd.h>

#include "kernels/runtime/tvm_ffi_abi.h"

using kernels::tvm_ffi::Any;
using kernels::tvm_ffi::Tensor;

extern "C" void TVMFFIErrorSetRaisedFromCStr(const char* kind, const char* message);

namespace {

const Tensor* tensor_of(const Any& any) {
  return reinterpret_cast<const Tensor*>(static_cast<const char*>(any.as_pointer) +
                                         sizeof(kernels::tvm_ffi::Object));
}

bool wrong_count(std::int32_t count) {
  if (count == 2) return false;
  TVMFFIErrorSetRaisedFromCStr(
      "TypeError",
      "Mismatched number of arguments when calling: `f(0: DLTensor*, 1: DLTensor*) -> "
      "None`. Expected 2 arguments");
  return true;
}

void copy(const Tensor* out, const Tensor* x) {
  const std::size_t size = out->dtype.bits / 8;
  for (std::int64_t r = 0; r < out->shape[0]; ++r)
    for (std::int64_t c = 0; c < out->shape[1]; ++c)
      std::memcpy(static_cast<char*>(out->data) + static_cast<std::size_t>(r * out->strides[0] + c) * size,
                  static_cast<const char*>(x->data) + static_cast<std::size_t>(r * x->strides[0] + c) * size,
                  size);
}

void crash(const Tensor*, const Tensor*) {
  // Its own handler undone, so that a sanitizer in the process does not turn this into an exit.
  std::signal(SIGSEGV, SIG_DFL);
  std::raise(SIGSEGV);
}
void leave(const Tensor*, const Tensor*) {
  std::fputs("the kernel says goodbye\n", stderr);
  std::_Exit(3);
}
void hang(const Tensor*, const Tensor*) {
  for (;;)
    pause();
}
/// Leaves a process behind that would outlive the worker and hold its pipes.
void fork_and_hang(const Tensor*, const Tensor*) {
  if (fork() == 0)
    for (;;)
      pause();
  for (;;)
    pause();
}
void one_wrong(const Tensor* out, const Tensor* x) {
  copy(out, x);
  if (out->shape[0] * out->shape[1] > 0) {
    const std::size_t last =
        static_cast<std::size_t>((out->shape[0] - 1) * out->strides[0] + out->shape[1] - 1);
    static_cast<float*>(out->data)[last] += 1.0F;
  }
}
/// Wrong, and in another way each time.
void changing(const Tensor* out, const Tensor* x) {
  static float calls = 0;
  copy(out, x);
  if (out->shape[0] * out->shape[1] > 0) static_cast<float*>(out->data)[0] += ++calls;
}
/// Right for long enough to be found right, and then gone.
void dies_later(const Tensor* out, const Tensor* x) {
  static int calls = 0;
  copy(out, x);
  if (++calls > 200) std::_Exit(7);
}
void nothing(const Tensor*, const Tensor*) {}
std::int64_t whole(const Tensor* x, std::int64_t r, std::int64_t c) {
  const std::int64_t place = r * x->strides[0] + c;
  return x->dtype.bits == 32 ? static_cast<const std::int32_t*>(x->data)[place]
                             : static_cast<const std::int64_t*>(x->data)[place];
}
/// A copy between whole numbers of different widths.
void cast(const Tensor* out, const Tensor* x) {
  for (std::int64_t r = 0; r < out->shape[0]; ++r)
    for (std::int64_t c = 0; c < out->shape[1]; ++c) {
      const std::int64_t place = r * out->strides[0] + c;
      if (out->dtype.bits == 32)
        static_cast<std::int32_t*>(out->data)[place] = static_cast<std::int32_t>(whole(x, r, c));
      else
        static_cast<std::int64_t*>(out->data)[place] = whole(x, r, c);
    }
}
void one_more(const Tensor* out, const Tensor* x) {
  cast(out, x);
  if (out->shape[0] * out->shape[1] > 0) static_cast<std::int64_t*>(out->data)[0] += 1;
}
void outside(const Tensor* out, const Tensor* x) {
  copy(out, x);
  if (out->shape[0] * out->shape[1] > 0) static_cast<float*>(out->data)[-1] = 1.0F;
}
void into_gap(const Tensor* out, const Tensor* x) {
  copy(out, x);
  if (out->strides[0] > out->shape[1] && out->shape[0] > 1)
    static_cast<float*>(out->data)[out->shape[1]] = 1.0F;
}
void into_input(const Tensor* out, const Tensor* x) {
  copy(out, x);
  if (x->shape[0] * x->shape[1] > 0) static_cast<float*>(x->data)[0] += 1.0F;
}
void throws(const Tensor*, const Tensor*) {
  throw std::runtime_error("thrown through a C interface");
}
void greedy(const Tensor*, const Tensor*) {
  throw std::bad_alloc();
}

}  // namespace

#define EXPORT(name)                                                                                        \
  extern "C" __attribute__((visibility("default"))) int __tvm_ffi_##name(void*, const Any* args,            \
                                                                         std::int32_t count, Any* result) { \
    if (wrong_count(count)) return -1;                                                                      \
    name(tensor_of(args[0]), tensor_of(args[1]));                                                           \
    *result = Any{};                                                                                        \
    return 0;                                                                                               \
  }

EXPORT(copy)
EXPORT(crash)
EXPORT(leave)
EXPORT(hang)
EXPORT(fork_and_hang)
EXPORT(one_wrong)
EXPORT(nothing)
EXPORT(outside)
EXPORT(into_gap)
EXPORT(into_input)
EXPORT(throws)
EXPORT(greedy)
EXPORT(dies_later)
EXPORT(changing)
EXPORT(cast)
EXPORT(one_more)

extern "C" __attribute__((visibility("default"))) int __tvm_ffi_refuses(void*, const Any*, std::int32_t count,
                                                                        Any*) {
  if (!wrong_count(count)) TVMFFIErrorSetRaisedFromCStr("ValueError", "not today");
  return -1;
}
