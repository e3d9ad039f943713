#include "model.h"

#include <cmath>

namespace example {

static std::vector<float> normal(std::int64_t count, double deviation, double mean, std::mt19937_64& random) {
  std::normal_distribution<float> values(static_cast<float>(mean), static_cast<float>(deviation));
  std::vector<float> out(static_cast<std::size_t>(count));
  for (auto& value : out)
    value = values(random);
  return out;
}

/// Like `x`, but of another width.
static Tensor result_like(Engine& engine, const Tensor& x, std::int64_t width) {
  auto spec = x.spec();
  spec.sizes.back() = width;
  return engine.allocate(spec);
}

Linear::Linear(Engine& engine, std::int64_t from, std::int64_t to, std::mt19937_64& random)
    : engine_(engine),
      weight_(
          engine.upload(normal(from * to, 1 / std::sqrt(static_cast<double>(from)), 0, random), {to, from})) {
  register_parameter("weight", weight_);
}

Tensor Linear::operator()(const Tensor& x) const {
  auto out = result_like(engine_, x, weight_.sizes()[0]);
  engine_.matmul(x, weight_, out);
  return out;
}

RMSNorm::RMSNorm(Engine& engine, std::int64_t width, std::mt19937_64& random)
    : engine_(engine), weight_(engine.upload(normal(width, 0.1, 1, random), {width})) {
  use_kernel_forward_from_hub("RMSNorm");
  register_parameter("weight", weight_);
  register_attribute("variance_epsilon", variance_epsilon_);
}

Result<Tensor> RMSNorm::forward(const Tensor& hidden_states) const {
  auto out = engine_.allocate(hidden_states.spec());
  engine_.rms_norm(hidden_states, weight_, variance_epsilon_, out);
  return out;
}

SiluAndMul::SiluAndMul(Engine& engine) : engine_(engine) {
  use_kernel_forward_from_hub("SiluAndMul");
}

Result<Tensor> SiluAndMul::forward(const Tensor& x) const {
  auto out = result_like(engine_, x, x.sizes()[1] / 2);
  engine_.silu_and_mul(x, out);
  return out;
}

DecoderBlock::DecoderBlock(Engine& engine, const BlockSizes& sizes, std::uint64_t seed)
    : DecoderBlock(engine, sizes, std::mt19937_64(seed)) {}

DecoderBlock::DecoderBlock(Engine& engine, const BlockSizes& sizes, std::mt19937_64 random)
    : engine_(engine), heads_{.count = sizes.heads, .sequence = sizes.sequence} {
  auto linear = [&](const char* name, std::int64_t from, std::int64_t to) {
    return register_module(name, std::make_shared<Linear>(engine, from, to, random));
  };
  auto norm = [&](const char* name) {
    return register_module(name, std::make_shared<RMSNorm>(engine, sizes.hidden, random));
  };
  input_layernorm_ = norm("input_layernorm");
  q_proj_ = linear("q_proj", sizes.hidden, sizes.hidden);
  k_proj_ = linear("k_proj", sizes.hidden, sizes.hidden);
  v_proj_ = linear("v_proj", sizes.hidden, sizes.hidden);
  o_proj_ = linear("o_proj", sizes.hidden, sizes.hidden);
  post_attention_layernorm_ = norm("post_attention_layernorm");
  gate_up_proj_ = linear("gate_up_proj", sizes.hidden, 2 * sizes.intermediate);
  act_fn_ = register_module("act_fn", std::make_shared<SiluAndMul>(engine));
  down_proj_ = linear("down_proj", sizes.intermediate, sizes.hidden);
  eval();
}

Tensor DecoderBlock::attend(const Tensor& normed) const {
  auto q = (*q_proj_)(normed);
  auto k = (*k_proj_)(normed);
  auto v = (*v_proj_)(normed);
  auto mixed = engine_.allocate(normed.spec());
  engine_.attention(q, k, v, heads_, mixed);
  return (*o_proj_)(mixed);
}

Result<Tensor> DecoderBlock::operator()(const Tensor& x) const {
  auto normed = (*input_layernorm_)(x);
  if (!normed) return normed;
  auto hidden = attend(*normed);
  engine_.add(hidden, x);
  auto normed_again = (*post_attention_layernorm_)(hidden);
  if (!normed_again) return normed_again;
  auto activated = (*act_fn_)((*gate_up_proj_)(*normed_again));
  if (!activated) return activated;
  auto out = (*down_proj_)(*activated);
  engine_.add(out, hidden);
  return out;
}

}  // namespace example
