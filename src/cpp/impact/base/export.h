#pragma once

/** What one of our libraries offers the others, which all else is hidden from: libimpact_core.so to
 * libimpact_elastix.so and to Python's modules. libimpact_base.so offers all of namespace impact: see base.map. */
#define IMPACT_API __attribute__((visibility("default")))
