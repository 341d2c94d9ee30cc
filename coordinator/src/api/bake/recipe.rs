//! Recipes of which bakes begin by themselves, as operators ask about them.

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{BakeEvent, Event};
use coordinator_core::step;
use coordinator_core::view::upkeep::{Outlook, outlook};
use model::bake::Upkeep;
use model::id::{NameError, RecipeName};
use model::time::Timestamp;
use proto::convert::{recipe_from_wire, upkeep_to_wire};
use proto::wire;
use tonic::Status;

use super::Images;
use crate::api::{accepted, invalid};
use crate::audit::By;
use crate::run::RunError;

pub(super) fn name(text: &str) -> Result<RecipeName, Status> {
    text.parse().map_err(|error: NameError| Status::invalid_argument(error.to_string()))
}

impl Images {
    /// Has bakes of a recipe begin by themselves, or says on a copy what that would be.
    pub(super) async fn put(
        &self,
        by: By,
        mut request: wire::PutRecipeRequest,
    ) -> Result<wire::PutRecipeResponse, Status> {
        self.can_bake(request.dry_run)?;
        self.pin(request.recipe.as_mut()).await?;
        let recipe = recipe_from_wire(request.recipe.as_ref()).map_err(|error| invalid(&error))?;
        let (name, now) = (recipe.name.clone(), self.shared.clock.now());
        let event = Event::Bake(BakeEvent::PutRecipe(Box::new(recipe)));
        let recipe = if request.dry_run {
            let mut cluster = self.shared.published.read().cluster.clone();
            let mut done = step(&mut cluster, &[event], now);
            accepted(done.replies.pop().ok_or(RunError::Busy))?;
            shown(&cluster, &name, now)
        } else {
            accepted(self.shared.door.ask_by(by, event).await)?;
            shown(&self.shared.published.read().cluster, &name, now)
        };
        Ok(wire::PutRecipeResponse { recipe })
    }

    pub(super) fn recipes(&self, only: &str) -> Result<wire::ListRecipesResponse, Status> {
        let (state, now) = (self.shared.published.read(), self.shared.clock.now());
        let mut upkeeps = state.cluster.upkeeps().values().collect::<Vec<_>>();
        upkeeps.retain(|upkeep| only.is_empty() || upkeep.recipe.name.as_str() == only);
        if upkeeps.is_empty() && !only.is_empty() {
            return Err(Status::not_found(format!("no bake of recipe {only} begins by itself")));
        }
        let recipes = upkeeps.iter().map(|upkeep| view(&state.cluster, upkeep, now)).collect();
        Ok(wire::ListRecipesResponse { recipes })
    }
}

fn shown(cluster: &Cluster, name: &RecipeName, now: Timestamp) -> Option<wire::RecipeView> {
    cluster.upkeeps().get(name).map(|upkeep| view(cluster, upkeep, now))
}

fn view(cluster: &Cluster, upkeep: &Upkeep, now: Timestamp) -> wire::RecipeView {
    let Outlook { word, image, note, next, sees, last } = outlook(cluster, upkeep, now);
    let (next_at, next) = next.unwrap_or_default();
    wire::RecipeView {
        upkeep: Some(upkeep_to_wire(upkeep)),
        word: word.to_owned(),
        published_at_ms: image.as_ref().map(|(_, at)| at.as_millis()).unwrap_or_default(),
        ami: image.map(|(ami, _)| ami.id.to_string()).unwrap_or_default(),
        note,
        next,
        next_at_ms: next_at.as_millis(),
        sees,
        last_word: last.unwrap_or_default().to_owned(),
        last_cause: upkeep.last.as_ref().map(|last| last.cause.to_string()).unwrap_or_default(),
    }
}
