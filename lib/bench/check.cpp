#include "check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>

namespace kernels::bench {
namespace {

/// Elements of an argument that are compared at most when rows are independent.
constexpr std::uint64_t kSampledElements = 1 << 20;

/// Where the elements of a dense view of some indices of the first dimension are found in an image.
struct Selection {
  std::vector<std::int64_t> rows;  ///< indices of the independent size; empty: all of everything
};

bool follows(const ArgumentSpec& argument, const FunctionSpec& function) {
  return !argument.value && !function.independent.empty() && argument.shape.front().factor == 1 &&
         argument.shape.front().names == std::vector<std::string>{function.independent};
}

/// The elements of one index of the first dimension, over the largest argument that follows it.
std::uint64_t elements_per_index(const FunctionSpec& function, const std::vector<Operand>& operands) {
  std::uint64_t most = 1;
  for (const Operand& operand : operands) {
    if (!operand.is_tensor() || !follows(*operand.spec, function) || operand.layout.sizes.front() == 0)
      continue;
    most =
        std::max(most, operand.layout.elements() / static_cast<std::uint64_t>(operand.layout.sizes.front()));
  }
  return most;
}

Selection choose(const FunctionSpec& function, const std::vector<Operand>& operands, const Sizes& sizes,
                 Random& random) {
  const auto size = sizes.find(function.independent);
  if (function.independent.empty() || size == sizes.end()) return {};
  const auto count = static_cast<std::uint64_t>(size->second);
  const std::uint64_t wanted =
      std::max<std::uint64_t>(kSampledElements / elements_per_index(function, operands), 2);
  if (count <= wanted) return {};
  std::set<std::int64_t> rows = {0, size->second - 1};
  while (rows.size() < wanted)
    rows.insert(static_cast<std::int64_t>(random.below(count)));
  return {{rows.begin(), rows.end()}};
}

/// One operand as float64, or whole numbers as int64, for the reference: dense, only the selected indices of
/// the first dimension.
struct Reference {
  std::vector<std::uint64_t> places;  ///< element offset of each value in the operand's image
  std::vector<double> values;
  std::vector<std::int64_t> wholes;  ///< instead of `values`
  std::unique_ptr<runtime::Tensor> tensor;
};

void add_places(const runtime::Layout& layout, std::size_t dimension, std::uint64_t offset,
                std::vector<std::uint64_t>& places) {
  if (dimension == layout.sizes.size()) {
    places.push_back(offset);
    return;
  }
  for (std::int64_t i = 0; i < layout.sizes[dimension]; ++i)
    add_places(layout, dimension + 1, offset + static_cast<std::uint64_t>(i * layout.strides[dimension]),
               places);
}

/// The values that the reference reads. What it should write is something that no right result is.
void fill(Reference& reference, const Operand& operand) {
  const std::byte* data = operand.before.data() + kGuardBytes;
  // One more than needed, so that nothing at all has an address, too.
  if (runtime::is_floating(operand.dtype)) {
    reference.values.reserve(reference.places.size() + 1);
    for (const std::uint64_t place : reference.places)
      reference.values.push_back(operand.spec->access == Access::write
                                     ? std::nan("")
                                     : runtime::load_element(data, operand.dtype, place));
  } else {
    reference.wholes.reserve(reference.places.size() + 1);
    for (const std::uint64_t place : reference.places)
      reference.wholes.push_back(runtime::load_whole(data, operand.dtype, place));
  }
}

Reference make_reference(const Operand& operand, const FunctionSpec& function, const Selection& selection) {
  Reference reference;
  runtime::Layout dense = runtime::Layout::dense(operand.layout.sizes);
  if (!selection.rows.empty() && follows(*operand.spec, function)) {
    for (const std::int64_t row : selection.rows)
      add_places(operand.layout, 1, static_cast<std::uint64_t>(row * operand.layout.strides[0]),
                 reference.places);
    dense.sizes.front() = static_cast<std::int64_t>(selection.rows.size());
  } else if (operand.layout.elements() > 0) {
    add_places(operand.layout, 0, 0, reference.places);
  }
  fill(reference, operand);
  const bool is_floating = runtime::is_floating(operand.dtype);
  void* data = is_floating ? static_cast<void*>(reference.values.data()) : reference.wholes.data();
  reference.tensor = std::make_unique<runtime::Tensor>(data, is_floating ? DType::float64 : DType::int64,
                                                       std::move(dense), runtime::DeviceKind::cpu, 0);
  return reference;
}

Result<std::vector<Reference>> run_reference(const CheckContext& context,
                                             const std::vector<Operand>& operands,
                                             const Selection& selection) {
  std::vector<Reference> references;
  std::vector<runtime::Value> values;
  for (const Operand& operand : operands) {
    if (!operand.is_tensor()) {
      references.emplace_back();
      values.emplace_back(*operand.spec->value);
      continue;
    }
    references.push_back(make_reference(operand, *context.function, selection));
    values.emplace_back(static_cast<const runtime::Tensor*>(references.back().tensor.get()));
  }
  const auto called = context.library->call(context.function->reference, values);
  if (!called)
    return fail(Errc::corrupt, "the reference `" + context.function->reference + "` raised " +
                                   called.error().kind + ": " + called.error().message);
  return references;
}

CheckOutcome wrong(std::string reason) {
  return {Verdict::wrong, std::move(reason), 0, 0, 0};
}

/// Whether everything is as before but what the function may write: gaps between rows, guards, inputs.
bool rest_is_as_before(const Operand& operand, std::span<const std::byte> after) {
  const std::span<const std::byte> before(operand.before);
  const auto same = [&](std::uint64_t begin, std::uint64_t end) {
    return std::memcmp(before.data() + begin, after.data() + begin, end - begin) == 0;
  };
  if (operand.spec->access == Access::read || operand.layout.elements() == 0) return same(0, before.size());
  const std::uint64_t size = runtime::size_of(operand.dtype);
  runtime::Layout outer = operand.layout;
  const auto cols = static_cast<std::uint64_t>(outer.sizes.back());
  outer.sizes.pop_back();
  outer.strides.pop_back();
  std::vector<std::uint64_t> rows;  // ascending, as layouts are row-major
  add_places(outer, 0, 0, rows);
  std::uint64_t checked = 0;
  for (const std::uint64_t row : rows) {
    const std::uint64_t begin = kGuardBytes + row * size;
    if (!same(checked, begin)) return false;
    checked = begin + cols * size;
  }
  return same(checked, before.size());
}

/// Whether one of the elements is all poison; a loop that compilers turn into vector instructions.
template <class Bits>
bool holds_poison(const std::byte* row, std::uint64_t elements, std::byte byte) {
  Bits poison;
  std::memset(&poison, static_cast<int>(byte), sizeof(poison));
  unsigned found = 0;
  for (std::uint64_t i = 0; i < elements; ++i) {
    Bits bits;
    std::memcpy(&bits, row + i * sizeof(bits), sizeof(bits));
    found |= bits == poison ? 1U : 0U;
  }
  return found != 0;
}

bool holds_poison(const std::byte* row, std::uint64_t elements, DType type) {
  const std::byte poison = poison_of(type);
  switch (runtime::size_of(type)) {
    case 1:
      return holds_poison<std::uint8_t>(row, elements, poison);
    case 2:
      return holds_poison<std::uint16_t>(row, elements, poison);
    case 4:
      return holds_poison<std::uint32_t>(row, elements, poison);
    default:
      return holds_poison<std::uint64_t>(row, elements, poison);
  }
}

/// True if an output still holds its poison somewhere.
bool untouched(const Operand& operand, std::span<const std::byte> after) {
  if (operand.spec->access != Access::write || operand.layout.elements() == 0) return false;
  const std::uint64_t size = runtime::size_of(operand.dtype);
  std::vector<std::uint64_t> rows;
  runtime::Layout outer = operand.layout;
  const auto cols = static_cast<std::uint64_t>(outer.sizes.back());
  outer.sizes.pop_back();
  outer.strides.pop_back();
  add_places(outer, 0, 0, rows);
  return std::ranges::any_of(rows, [&](std::uint64_t row) {
    return holds_poison(after.data() + kGuardBytes + row * size, cols, operand.dtype);
  });
}

/// One element of a result beside the reference's.
struct Pair {
  double got;
  double want;
  double error;
};

Pair pair_of(const Operand& operand, const Reference& reference, std::span<const std::byte> after,
             std::size_t i) {
  const std::byte* data = after.data() + kGuardBytes;
  if (runtime::is_floating(operand.dtype)) {
    const double got = runtime::load_element(data, operand.dtype, reference.places[i]);
    return {got, reference.values[i], std::fabs(got - reference.values[i])};
  }
  const std::int64_t got = runtime::load_whole(data, operand.dtype, reference.places[i]);
  const std::int64_t want = reference.wholes[i];
  // Exact before it is rounded: neighbours that are one and the same float64 differ by 1.
  const auto away =
      static_cast<std::uint64_t>(std::max(got, want)) - static_cast<std::uint64_t>(std::min(got, want));
  return {static_cast<double>(got), static_cast<double>(want), static_cast<double>(away)};
}

void compare(const Operand& operand, const Reference& reference, const Tolerance& tolerance,
             std::span<const std::byte> after, CheckOutcome& outcome) {
  if (operand.spec->access == Access::read) return;
  for (std::size_t i = 0; i < reference.places.size(); ++i) {
    const auto [got, want, error] = pair_of(operand, reference, after, i);
    const double allowed = tolerance.absolute + tolerance.relative * std::fabs(want);
    const double share = allowed > 0 ? error / allowed : (error == 0 ? 0 : HUGE_VAL);
    ++outcome.checked;
    // Written so that NaN counts as wrong.
    if (!(share <= 1) && outcome.verdict == Verdict::right) {
      outcome.verdict = Verdict::wrong;
      outcome.reason = "`" + operand.spec->name + "` element " + std::to_string(i) + ": got " +
                       std::to_string(got) + ", reference " + std::to_string(want);
    }
    outcome.max_error = std::isnan(error) ? HUGE_VAL : std::max(outcome.max_error, error);
    outcome.worst_share = std::isnan(share) ? HUGE_VAL : std::max(outcome.worst_share, share);
  }
}

Result<CheckOutcome> compare_all(const CheckContext& context, const std::vector<Operand>& operands,
                                 const std::vector<Reference>& references) {
  CheckOutcome outcome;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Operand& operand = operands[i];
    if (!operand.is_tensor()) continue;
    Image after(operand.before.size());
    if (auto read = operand.buffer.read(after); !read) return std::unexpected(std::move(read).error());
    if (untouched(operand, after)) return wrong("`" + operand.spec->name + "` was not written completely");
    compare(operand, references[i], operand.spec->tolerance.value_or(context.tolerance), after, outcome);
    if (!rest_is_as_before(operand, after))
      return wrong("memory of `" + operand.spec->name + "` that is not its output was changed");
  }
  return outcome;
}

Result<runtime::CallResult> call_once(const CheckContext& context, const std::vector<Operand>& operands) {
  auto called = context.library->call(context.function->name, values_of(operands));
  if (called && context.options.cuda != nullptr)
    if (auto done = context.options.cuda->synchronize(); !done) return fail(std::move(done).error());
  return called;
}

Result<std::vector<Image>> contents(const std::vector<Operand>& operands) {
  std::vector<Image> out;
  for (const Operand& operand : operands) {
    out.emplace_back(operand.is_tensor() ? operand.before.size() : 0);
    if (!operand.is_tensor()) continue;
    if (auto read = operand.buffer.read(out.back()); !read) return fail(std::move(read).error());
  }
  return out;
}

/// A wrong result that is another one each time has a cause of its own, which people want to know.
std::optional<std::string> say_if_changing(const CheckContext& context,
                                           const std::vector<Operand>& operands) {
  constexpr int kRepeats = 4;
  auto first = contents(operands);
  int changed = 0;
  for (int i = 0; first && i < kRepeats; ++i) {
    for (const Operand& operand : operands)
      if (operand.is_tensor())
        if (auto written = operand.buffer.write(operand.before, 0); !written) return std::nullopt;
    if (auto called = call_once(context, operands); !called || !*called) return std::nullopt;
    auto again = contents(operands);
    if (!again) return std::nullopt;
    changed += *again == *first ? 0 : 1;
  }
  if (changed == 0) return std::nullopt;
  return "; the same call gives other bits in " + std::to_string(changed) + " of " +
         std::to_string(kRepeats) + " repeats: a race, or memory that nothing has written";
}

}  // namespace

Result<CheckOutcome> check(const CheckContext& context, const Sizes& sizes, Random& random) {
  auto moved = bytes_moved(*context.function, sizes, context.options.dtype);
  if (!moved) return std::unexpected(std::move(moved).error());
  auto needed = operand_bytes(*context.function, sizes, context.options.dtype);
  if (!needed) return std::unexpected(std::move(needed).error());
  *needed = std::max(*needed, *moved);
  auto usable = usable_bytes(context.options.cuda);
  if (!usable) return std::unexpected(std::move(usable).error());
  auto host = usable_bytes(nullptr);
  // The images before and after the call lie on the host.
  if (*needed > *usable || *needed > *host / 3)
    return fail(Errc::unsupported,
                "needs " + std::to_string(*needed) + " bytes, more than half of what is free");
  auto operands = make_images(*context.function, sizes, random, context.options);
  if (!operands) return std::unexpected(std::move(operands).error());
  const Selection selection = choose(*context.function, *operands, sizes, random);
  auto references = run_reference(context, *operands, selection);
  if (!references) return std::unexpected(std::move(references).error());
  if (auto placed = place(*operands, context.options); !placed)
    return std::unexpected(std::move(placed).error());
  const auto called = call_once(context, *operands);
  if (!called) return fail(called.error());
  if (!*called)
    return CheckOutcome{Verdict::raised, called->error().kind + ": " + called->error().message, 0, 0, 0};
  auto outcome = compare_all(context, *operands, *references);
  if (outcome && outcome->verdict == Verdict::wrong)
    if (auto text = say_if_changing(context, *operands)) outcome->reason += *text;
  return outcome;
}

}  // namespace kernels::bench
