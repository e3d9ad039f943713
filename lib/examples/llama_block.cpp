// A decoder block of a Llama model, with the kernels of a locked project in the place of its norms and
// activation:
//
//   llama_block PROJECT_DIR [--device cpu|cuda] [--tokens N] [--hidden N] [--intermediate N] [--heads N]
//   [--sequence N] [--seed N]
//
// Runs the block without and with kernels, prints what was replaced, how far the outputs are apart and what
// each of the two took. Ends with 1 if they are too far apart, with 2 after an error.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iostream>
#include <map>

#include "kernels/layers/kernelize.h"
#include "kernels/ops/kernel_source.h"

#include "model.h"

namespace example {

namespace {

using kernels::Errc;
using kernels::Status;

struct Arguments {
  std::string project;
  std::string device = "cpu";
  std::int64_t tokens = 32;
  BlockSizes sizes;
  std::uint64_t seed = 1;
};

Result<Arguments> read_arguments(int count, char** words) {
  Arguments out;
  auto usage = kernels::fail(Errc::invalid_argument,
                             "usage: llama_block PROJECT_DIR [--device cpu|cuda] [--tokens N] …");
  if (count < 2) return usage;
  out.project = words[1];
  std::int64_t heads = out.sizes.heads;
  std::int64_t seed = 1;
  std::map<std::string, std::int64_t*> numbers = {{"--tokens", &out.tokens},
                                                  {"--hidden", &out.sizes.hidden},
                                                  {"--intermediate", &out.sizes.intermediate},
                                                  {"--heads", &heads},
                                                  {"--sequence", &out.sizes.sequence},
                                                  {"--seed", &seed}};
  for (int i = 2; i + 1 < count; i += 2) {
    std::string name = words[i];
    std::string_view value = words[i + 1];
    auto number = numbers.find(name);
    if (name == "--device") {
      out.device = value;
    } else if (number == numbers.end() ||
               std::from_chars(value.data(), value.data() + value.size(), *number->second).ptr !=
                   value.data() + value.size() ||
               *number->second < 1) {
      return usage;
    }
  }
  out.sizes.heads = static_cast<int>(heads);
  out.seed = static_cast<std::uint64_t>(seed);
  if (out.sizes.hidden % heads != 0)
    return kernels::fail(Errc::invalid_argument, "`--hidden` should be a multiple of `--heads`");
  return out;
}

/// What it took at best, over some runs.
Result<double> milliseconds(Engine& engine, const DecoderBlock& block, const Tensor& x) {
  constexpr auto kBudget = std::chrono::seconds(1);
  auto until = std::chrono::steady_clock::now() + kBudget;
  double best = INFINITY;
  for (int run = 0; run < 3 || std::chrono::steady_clock::now() < until; ++run) {
    engine.synchronize();
    auto begin = std::chrono::steady_clock::now();
    if (auto out = block(x); !out) return std::unexpected(out.error());
    engine.synchronize();
    best = std::min(
        best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

/// The largest difference, in units of the largest value.
double difference(const std::vector<float>& left, const std::vector<float>& right) {
  double most = 0;
  double apart = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(right[i])));
    apart = std::max(apart, std::abs(static_cast<double>(left[i]) - right[i]));
  }
  return apart / most;
}

/// Of a block, from the layers' declared tolerances: rounding of a step is passed on by the products after
/// it, but does not grow beyond some units in the last place.
double tolerance_of(const Engine& engine) {
  return engine.type().code == kernels::layers::kBfloat16.code ? 1.6e-2 : 1e-5;
}

Result<std::unique_ptr<Engine>> make_engine(const std::string& device) {
  if (device == "cuda") return make_cuda_engine();
  if (device == "cpu") return make_cpu_engine();
  return kernels::fail(Errc::invalid_argument, "`" + device + "` is neither cpu nor cuda");
}

Tensor make_input(Engine& engine, const Arguments& arguments) {
  std::mt19937_64 random(arguments.seed + 1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(arguments.tokens * arguments.sizes.hidden));
  for (auto& value : values)
    value = normal(random);
  return engine.upload(values, {arguments.tokens, arguments.sizes.hidden});
}

/// The kernels of the project's lock in the place of the block's layers.
Result<kernels::layers::KernelizeReport> use_kernels(Engine& engine, DecoderBlock& block,
                                                     const std::string& project) {
  auto source = kernels::ops::hub_kernel_source();
  if (!source) return std::unexpected(source.error());
  kernels::layers::set_kernel_source(*source);
  auto mapping = kernels::ops::load_kernel_mapping(project);
  if (!mapping) return std::unexpected(mapping.error());
  auto scope = kernels::layers::use_kernel_mapping(*mapping, kernels::layers::InheritMapping::no);
  if (!scope) return std::unexpected(scope.error());
  auto report = kernels::layers::kernelize(
      block,
      {.device = engine.device(), .allocate = [&](const TensorSpec& spec) { return engine.allocate(spec); }});
  if (!report || engine.stream() == nullptr) return report;
  if (auto used = kernels::layers::use_stream(0, engine.stream()); !used)
    return std::unexpected(used.error());
  return report;
}

Result<bool> run(const Arguments& arguments) {
  auto engine = make_engine(arguments.device);
  if (!engine) return std::unexpected(engine.error());
  DecoderBlock block(**engine, arguments.sizes, arguments.seed);
  auto x = make_input(**engine, arguments);
  auto own = block(x);
  if (!own) return std::unexpected(own.error());
  auto expected = (*engine)->download(*own);
  auto before = milliseconds(**engine, block, x);
  if (!before) return std::unexpected(before.error());
  auto report = use_kernels(**engine, block, arguments.project);
  if (!report) return std::unexpected(report.error());
  auto replaced = block(x);
  if (!replaced) return std::unexpected(replaced.error());
  auto apart = difference((*engine)->download(*replaced), expected);
  auto after = milliseconds(**engine, block, x);
  if (!after) return std::unexpected(after.error());
  std::cout << "decoder block, hidden " << arguments.sizes.hidden << ", " << arguments.tokens << " tokens, "
            << (*engine)->description() << "\n\n"
            << report->text() << "\n"
            << report->replaced() << " of " << report->layers.size() << " layers replaced, mode "
            << report->mode.str() << "\noutputs differ by " << apart << " of the largest value, allowed are "
            << tolerance_of(**engine) << "\nown forward " << *before << " ms, with kernels " << *after
            << " ms, " << *before / *after << " times as fast\n";
  return apart <= tolerance_of(**engine) && report->replaced() > 0;
}

}  // namespace

}  // namespace example

int main(int count, char** words) {
  auto arguments = example::read_arguments(count, words);
  auto right =
      arguments ? example::run(*arguments) : kernels::Result<bool>(std::unexpected(arguments.error()));
  if (right) return *right ? 0 : 1;
  std::cerr << "error: " << kernels::describe(right.error()) << "\n";
  if (!right.error().hint().empty()) std::cerr << "\nhint: " << right.error().hint() << "\n";
  return 2;
}
