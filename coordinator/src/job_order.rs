//! What operators ask of jobs, as they say it and as the flight recorder keeps it.

use coordinator_core::event::JobOrder;
use proto::wire;

/// Writes an order.
pub(crate) const fn job_order_to_wire(order: JobOrder) -> wire::JobOrder {
    match order {
        JobOrder::Run => wire::JobOrder::Run,
        JobOrder::Stop => wire::JobOrder::Stop,
        JobOrder::Suspend => wire::JobOrder::Suspend,
        JobOrder::Resume => wire::JobOrder::Resume,
    }
}

/// Reads an order, if it is one that this version knows.
pub(crate) const fn job_order_from_wire(order: wire::JobOrder) -> Option<JobOrder> {
    match order {
        wire::JobOrder::Run => Some(JobOrder::Run),
        wire::JobOrder::Stop => Some(JobOrder::Stop),
        wire::JobOrder::Suspend => Some(JobOrder::Suspend),
        wire::JobOrder::Resume => Some(JobOrder::Resume),
        wire::JobOrder::Unspecified => None,
    }
}
