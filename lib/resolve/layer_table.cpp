#include "kernels/resolve/layer_table.h"

#include <array>

namespace kernels::resolve {

Result<std::span<const Mode>> lookup_order(Mode requested) {
  static const Mode inference_compile = *Mode::combine(Mode::inference, Mode::torch_compile);
  static const Mode training_compile = *Mode::combine(Mode::training, Mode::torch_compile);
  static const std::array weakest_first = {Mode::inference, inference_compile, Mode::training,
                                           training_compile, Mode::fallback};
  // The one order that is not the end of another: under torch.compile, plain training is no candidate.
  static const std::array inference_compiled = {inference_compile, training_compile, Mode::fallback};

  auto orders = std::span<const Mode>(weakest_first);
  if (requested == Mode::inference) return orders;
  if (requested == inference_compile) return std::span<const Mode>(inference_compiled);
  if (requested == Mode::training) return orders.subspan(2);
  if (requested == training_compile) return orders.subspan(3);
  return fail(
      Error(Errc::invalid_argument, "a model is not kernelized for the mode `" + requested.str() + "`")
          .with_hint("ask for `inference` or `training`, alone or with `torch-compile`; a kernel "
                     "registered for `fallback` is taken where none is registered for the mode"));
}

}  // namespace kernels::resolve
