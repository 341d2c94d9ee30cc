//! Going back to what ran at a time.

use model::id::ServiceId;
use model::release::{GoBack, PoolBack, ServiceBack};
use model::time::Timestamp;

use super::fleet::pool_name_from_wire;
use super::refresh::{blueprint_from_wire, blueprint_to_wire};
use super::{At, Invalid, Named, Valid};
use crate::wire;

/// One request names no more services, and no more pools: as many as a cluster is made for.
const NAMED_LIMIT: usize = 10_000;

/// Reads what is to go back, and where to.
///
/// # Errors
/// Says where and what is wrong.
pub fn go_back_from_wire(from: &wire::GoBackRequest) -> Valid<GoBack> {
    if from.services.len().max(from.pools.len()) > NAMED_LIMIT {
        return Err(Invalid::new("go_back", format!("names more than {NAMED_LIMIT}")));
    }
    let service = |one: &wire::GoBackService| -> Valid<ServiceBack> {
        let project = one.project.named("go_back.services.project")?;
        let name = one.name.named("go_back.services.name")?;
        Ok(ServiceBack { service: ServiceId { project, name }, from: one.from, to: one.to })
    };
    let pool = |one: &wire::GoBackPool| -> Valid<PoolBack> {
        Ok(PoolBack {
            pool: pool_name_from_wire(&one.pool)?,
            from: blueprint_from_wire(one.from.as_ref().at("go_back.pools.from")?)?,
            to: blueprint_from_wire(one.to.as_ref().at("go_back.pools.to")?)?,
        })
    };
    Ok(GoBack {
        then: Timestamp::from_millis(from.at_ms),
        services: from.services.iter().map(service).collect::<Valid<_>>()?,
        pools: from.pools.iter().map(pool).collect::<Valid<_>>()?,
    })
}

/// Writes what is to go back, and where to.
#[must_use]
pub fn go_back_to_wire(back: &GoBack) -> wire::GoBackRequest {
    let service = |one: &ServiceBack| wire::GoBackService {
        project: one.service.project.to_string(),
        name: one.service.name.to_string(),
        from: one.from,
        to: one.to,
    };
    let pool = |one: &PoolBack| wire::GoBackPool {
        pool: one.pool.clone(),
        from: Some(blueprint_to_wire(&one.from)),
        to: Some(blueprint_to_wire(&one.to)),
    };
    wire::GoBackRequest {
        at_ms: back.then.as_millis(),
        services: back.services.iter().map(service).collect(),
        pools: back.pools.iter().map(pool).collect(),
    }
}
